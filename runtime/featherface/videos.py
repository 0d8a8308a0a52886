"""Frames of a video file or of a camera, and a video of drawn frames."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from featherface.packages import cv2

SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"}
_USUAL_RATE = 25.0
"""Frames per second where the file does not say."""
_LARGEST_RATE = 1000.0
"""Above it the number is the clock of the file (90,000 is common), not its frames."""


def check_name(file: Path) -> None:
    """Refuse a name that is not UTF-8: OpenCV, which gets it as text, would end the process.

    Raises:
        ValueError: naming it as far as it can be written.
    """
    try:
        str(file).encode()
    except UnicodeEncodeError:
        shown = str(file).encode(errors="replace").decode()
        raise ValueError(
            f"{shown}: expected the name of a video in UTF-8; rename the file or its folder"
        ) from None


class VideoReader:
    """Iterates over (time in seconds, frame [H, W, 3] uint8 BGR) of a file or a camera.

    Args:
        source: a file, or the number of a camera.

    Attributes:
        rate: mean number of frames per second.
        num_frames: the header's count, an estimate; None if unknown.

    Raises:
        ValueError: OpenCV cannot open a file of this name.
    """

    def __init__(self, source: Path | int) -> None:
        if isinstance(source, Path):
            check_name(source)
        self.source = source
        self._capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= _LARGEST_RATE else _USUAL_RATE
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.num_frames = int(count) if math.isfinite(count) and count > 0 else None

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        """Raises ValueError if there is not one frame to read."""
        number, last, begun = 0, -1.0, time.monotonic()
        try:
            while True:
                there, image = self._capture.read()
                if not there:
                    break
                if isinstance(self.source, int):
                    moment = time.monotonic() - begun
                else:
                    moment = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if not moment > last:  # the file has no times: 0 or NaN for every frame
                    moment = number / self.rate
                yield moment, image
                number, last = number + 1, moment
        finally:
            self._capture.release()
        if number == 0:
            what = "camera " if isinstance(self.source, int) else ""
            raise ValueError(
                f"{what}{self.source}: expected frames that OpenCV can read, got not one"
            )


class VideoWriter:
    """Writes frames of one size to a file, whose suffix decides the container; close it.

    Raises:
        OSError: OpenCV cannot write such a file.
        ValueError: nor one of this name.
    """

    def __init__(self, file: Path, rate: float, width: int, height: int) -> None:
        check_name(file)
        # WebM holds VP8; MPEG-4 part 2 goes into the others and needs no licensed encoder.
        codec = "VP80" if file.suffix.lower() == ".webm" else "mp4v"
        file.parent.mkdir(parents=True, exist_ok=True)
        code = cv2.VideoWriter.fourcc(*codec)
        self._writer = cv2.VideoWriter(str(file), code, rate, (width, height))
        if not self._writer.isOpened():
            raise OSError(f"expected to write a video to {file}, but OpenCV cannot")

    def write(self, image: np.ndarray) -> None:
        """Add a frame [H, W, 3] uint8 BGR."""
        self._writer.write(image)

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()
