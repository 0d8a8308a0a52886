"""Frames of a video with their times, and a video of drawn frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from src.images.header import ImageSize

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"}
_USUAL_RATE = 25.0
"""Frames per second where the file does not say."""
_LARGEST_RATE = 1000.0
"""Above it the number is the clock of the file (90,000 is common), not its frames."""


def check_name(path: Path) -> None:
    """Refuse a name that is not UTF-8: OpenCV, which gets it as text, would end the process.

    Raises:
        ValueError: naming it as far as it can be written.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = str(path).encode(errors="replace").decode()
        raise ValueError(
            f"expected the name of a video in UTF-8, got {shown}; rename the file or its folder"
        ) from None


class VideoReader:
    """Iterates over (time in seconds, frame [H, W, 3] uint8 BGR) of a file.

    ``rate`` is the mean number of frames per second, ``num_frames`` the header's count (an
    estimate; 0 if unknown), ``size`` that of the frames (0 if unknown). Times are those of the
    file, so a changing frame rate is followed.

    Raises:
        ValueError: OpenCV cannot open a file of this name.
    """

    def __init__(self, path: Path) -> None:
        check_name(path)
        self.path = path
        self._capture = cv2.VideoCapture(str(path))
        self.size = ImageSize(
            self._count(cv2.CAP_PROP_FRAME_HEIGHT), self._count(cv2.CAP_PROP_FRAME_WIDTH)
        )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= _LARGEST_RATE else _USUAL_RATE
        self.num_frames = self._count(cv2.CAP_PROP_FRAME_COUNT)

    def _count(self, what: int) -> int:
        """A whole number of the header, 0 where it has none."""
        count = self._capture.get(what)
        return int(count) if math.isfinite(count) and count > 0 else 0

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        """Raises ValueError if there is not one frame to read."""
        number, last = 0, -1.0
        while True:
            there, image = self._capture.read()
            if not there:
                break
            time = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if not time > last:  # the file has no times: 0 or NaN for every frame
                time = number / self.rate
            yield time, image
            number, last = number + 1, time
        self._capture.release()
        if number == 0:
            raise ValueError(
                f"expected a video that OpenCV can read, got no frame from {self.path}; "
                "convert it, for example to .mp4 (H.264)"
            )


class VideoWriter:
    """Writes frames of one size to ``path``, whose suffix decides the container; close it."""

    def __init__(self, path: Path, rate: float) -> None:
        self.path = path
        self.rate = rate
        self._writer: cv2.VideoWriter | None = None

    def write(self, image: np.ndarray) -> None:
        """Add a frame [H, W, 3] uint8 BGR.

        Raises:
            OSError: if OpenCV cannot write such a file.
            ValueError: nor one of this name.
        """
        if self._writer is None:
            check_name(self.path)
            # WebM holds VP8; MPEG-4 part 2 goes into the others and needs no licensed encoder.
            codec = "VP80" if self.path.suffix.lower() == ".webm" else "mp4v"
            size = (image.shape[1], image.shape[0])
            code = cv2.VideoWriter.fourcc(*codec)
            self._writer = cv2.VideoWriter(str(self.path), code, self.rate, size)
            if not self._writer.isOpened():
                raise OSError(f"expected to write a video to {self.path}, but OpenCV cannot")
        self._writer.write(image)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
