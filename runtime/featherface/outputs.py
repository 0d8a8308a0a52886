"""What a command leaves: drawn pictures and videos, crops, JSON, CSV.

All are told of every frame in turn, so that a long video or a camera needs no memory and what is
done stays when the command is interrupted.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Protocol, TextIO

from featherface.faces import Faces
from featherface.images import SUFFIXES, crop, draw_faces, write_image
from featherface.sources import Frame, Source
from featherface.videos import VideoWriter


class Output(Protocol):
    """Something that is written while sources are looked at."""

    def add(self, source: Source, frame: Frame, faces: Faces) -> None:
        """Take the faces of a frame."""

    def fail(self, source: Source, error: str) -> None:
        """Take notice that a source cannot be read, or not further."""

    def close(self) -> None:
        """Finish."""


class Drawings:
    """Each photo and video with boxes drawn, under its own name in a folder."""

    def __init__(self, folder: Path, *, landmarks: bool) -> None:
        self.folder, self.landmarks = folder, landmarks
        self._video: VideoWriter | None = None
        self._of: Source | None = None

    def add(self, source: Source, frame: Frame, faces: Faces) -> None:
        picture = draw_faces(frame.image, faces, landmarks=self.landmarks)
        target = self.folder / source.target
        if frame.rate is None:
            write_image(_writable(target), picture)
            return
        if self._of is not source or self._video is None:
            self.close()
            height, width = picture.shape[:2]
            self._video, self._of = VideoWriter(target, frame.rate, width, height), source
        self._video.write(picture)

    def fail(self, source: Source, error: str) -> None:
        pass

    def close(self) -> None:
        if self._video is not None:
            self._video.close()


class Crops:
    """Each face as a picture of its own: ``photo.jpg/0.png``, ``video.mp4/000012_0.png``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, source: Source, frame: Frame, faces: Faces) -> None:
        before = "" if frame.number is None else f"{frame.number:06}_"
        for index, face in enumerate(faces):
            part = crop(frame.image, face.box)
            if part.size:
                write_image(self.folder / source.target / f"{before}{index}.png", part)

    def fail(self, source: Source, error: str) -> None:
        pass

    def close(self) -> None:
        pass


class Json:
    """One list with an entry for each photo and frame, one entry a line."""

    def __init__(self, stream: TextIO, *, landmarks: bool) -> None:
        self.stream, self.landmarks = stream, landmarks
        self._before = "[\n"

    def add(self, source: Source, frame: Frame, faces: Faces) -> None:
        place = {} if frame.number is None else {"frame": frame.number, "time": _round(frame.time)}
        height, width = frame.image.shape[:2]
        self._write({
            "file": str(source), **place, "width": width, "height": height,
            "faces": [face_as_dict(face, landmarks=self.landmarks) for face in faces],
        })  # fmt: skip

    def fail(self, source: Source, error: str) -> None:
        self._write({"file": str(source), "error": error})

    def close(self) -> None:
        self.stream.write("[]\n" if self._before == "[\n" else "\n]\n")
        self.stream.flush()

    def _write(self, entry: dict[str, Any]) -> None:
        self.stream.write(self._before + json.dumps(entry, ensure_ascii=False))
        self._before = ",\n"


class Csv:
    """One row for each face; photos have neither frame nor time."""

    def __init__(self, stream: TextIO, *, landmarks: bool) -> None:
        self.stream, self.landmarks = stream, landmarks
        points = [f"{axis}_{n}" for n in range(5) for axis in ("landmark_x", "landmark_y")]
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(
            ["file", "frame", "time", "x1", "y1", "x2", "y2", "score", *(points * landmarks)]
        )

    def add(self, source: Source, frame: Frame, faces: Faces) -> None:
        number = "" if frame.number is None else frame.number
        time = "" if frame.time is None else _round(frame.time)
        for face in faces:
            row = [str(source), number, time, *_round(face.box), _round(face.score)]
            if self.landmarks:
                row += _round(face.landmarks.ravel())
            self._writer.writerow(row)

    def fail(self, source: Source, error: str) -> None:
        pass

    def close(self) -> None:
        self.stream.flush()


def face_as_dict(face: Any, *, landmarks: bool) -> dict[str, Any]:
    """A :class:`~featherface.faces.Face` in plain numbers: pixels, score 0 to 1."""
    entry = {"box": _round(face.box), "score": _round(face.score)}
    return {**entry, "landmarks": _round(face.landmarks)} if landmarks else entry


def _round(values: Any) -> Any:
    """Plain numbers to four digits: of an array, a list."""
    if hasattr(values, "tolist"):
        return values.astype(float).round(4).tolist()
    return round(float(values), 4)


def _writable(target: Path) -> Path:
    """The path itself, with .png behind it where OpenCV does not know the suffix."""
    known = target.suffix.lower() in SUFFIXES
    return target if known else target.with_name(f"{target.name}.png")
