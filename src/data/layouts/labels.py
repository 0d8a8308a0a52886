"""What every layout of labelled images is read into and written from.

A layout is a reader and a writer of these types; nothing else knows its files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from src.images.header import ImageSize
from src.types import NUM_LANDMARKS

Split = Literal["train", "val"]

SPLIT_WORDS = {"train": ("train",), "val": ("val", "valid", "validation")}
"""What tools call the folders and files of a split."""

NOT_LABELLED, HIDDEN, VISIBLE = 0, 1, 2
"""What is known of a landmark, as COCO counts."""
ATTRIBUTES = ("blur", "expression", "illumination", "occlusion", "pose")
"""What WIDER FACE says of a face beside ``invalid``, small whole numbers."""
LARGEST = 1e30
"""Numbers above it are no pixels, and overflow when they are added or multiplied."""

Landmark = tuple[float, float, int]
"""x and y in pixels, and one of the three above."""


class Label(NamedTuple):
    """One face as its file gives it: neither clipped nor dropped."""

    box: tuple[float, float, float, float]
    """x, y, width, height in pixels."""
    landmarks: tuple[Landmark, ...] | None = None
    """Five, of which at least one is labelled; None: none is."""
    ignore: bool = False
    """Neither a face nor background: ``invalid`` of WIDER FACE, ``iscrowd`` of COCO."""
    quality: float | None = None
    """The last number of a RetinaFace line, where it says more than ``ignore``."""
    attributes: tuple[int, ...] | None = None
    """In the order of ``ATTRIBUTES``."""
    place: int | str | None = None
    """Line or entry of the label file, for messages."""


class LabelledImage(NamedTuple):
    """An image and its faces."""

    name: str
    """``event/file.jpg``: its path below the folder of images."""
    faces: Sequence[Label]
    label_file: Path
    place: int | str | None = None
    size: ImageSize | None = None
    """Of the image file, or what the label file says of it."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with the files of a split."""

    kind: Literal["label", "missing", "image", "outside", "duplicate"]
    file: Path
    line: int | str | None
    """Number of the line, or name of the entry."""
    message: str

    def __str__(self) -> str:
        if self.line is None:
            return f"{self.file}: {self.message}"
        place = f":{self.line}" if isinstance(self.line, int) else f", {self.line}"
        return f"{self.file}{place}: {self.message}"


@dataclass
class Labels:
    """What the label files of a split say."""

    label_file: Path
    """Or their folder."""
    image_folder: Path
    images: list[LabelledImage] = field(default_factory=list)
    has_labels: bool = True
    """False where there is only a list of names."""
    relative: bool = False
    """Boxes and landmarks are fractions of their image's sides, not pixels."""
    problems: list[Problem] = field(default_factory=list)
    """What is at fault is left out of ``images``."""
    remarks: Counter[str] = field(default_factory=Counter)
    """What was read otherwise than the files say, or not at all -> how often."""

    def refuse(self, file: Path, place: int | str | None, message: str) -> None:
        """Note a fault of a line or entry."""
        self.problems.append(Problem("label", file, place, message))


def image_name(text: str) -> str:
    """The name of an image in its one spelling: ``./e//a.jpg`` is ``e/a.jpg``.

    Raises:
        ValueError: it leads out of the folder of images, or is no name.
    """
    # Official lists of WIDER FACE have names that begin with a slash.
    name = text.strip().lstrip("/")
    path = PurePosixPath(name)
    if ".." in path.parts or ".." in name.split("\\"):
        raise ValueError(
            f"expected the name of an image inside its folder, got {quoted(text)}; remove '..'"
        )
    if not path.parts or any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in name):
        raise ValueError(f"expected the name of an image, got {quoted(text)}; correct the name")
    return str(path)


def written(value: float) -> str:
    """A number as label files have it: whole where it is, else with all its digits."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(float(value))


def quoted(value: object) -> str:
    """What came, for a message: a long text is cut, a structure named by its kind."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if value is None or isinstance(value, (int, float)):
        return str(value)[:60]
    return "a table" if isinstance(value, dict) else "a list"


def landmarks_or_none(points: Sequence[Landmark]) -> tuple[Landmark, ...] | None:
    """Five landmarks, zero where not labelled; None if none is."""
    if not any(seen for _, _, seen in points):
        return None
    return tuple((x, y, seen) if seen else (0.0, 0.0, NOT_LABELLED) for x, y, seen in points)


def is_complete(landmarks: tuple[Landmark, ...] | None) -> bool:
    """Whether all five are labelled: only such faces teach landmarks."""
    return landmarks is not None and all(seen for _, _, seen in landmarks)


def losses(before: Label, after: Label | None) -> Iterator[str]:
    """What of a face a layout has no room for, in words that can be counted."""
    if after is None:
        yield "ignored faces" if before.ignore else "faces with no box inside their image"
        return
    if max(abs(a - b) for a, b in zip(before.box, after.box, strict=True)) > 1e-6:
        yield "boxes cut off at the border of their image"
    if before.ignore and not after.ignore:
        yield "flags of faces to ignore"
    if before.landmarks is not None:
        kept = after.landmarks or ((0.0, 0.0, NOT_LABELLED),) * NUM_LANDMARKS
        if any(b[2] and not a[2] for b, a in zip(before.landmarks, kept, strict=True)):
            yield "faces with landmarks"
    if before.quality is not None and after.quality != before.quality:
        yield "qualities"
    if before.attributes is not None and after.attributes is None:
        yield "faces with attributes of WIDER FACE"
