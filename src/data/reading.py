"""Reads a split of labelled images in any layout, and says what is wrong with it.

The layouts themselves are in :mod:`src.data.layouts`.
"""

from __future__ import annotations

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.data.layouts import READERS, layouts_of
from src.data.layouts.labels import LabelledImage, Labels, Problem, Split, is_complete
from src.data.layouts.layout import Reader
from src.images.header import MAX_PIXELS, ImageSize, read_image_size
from src.types import NUM_LANDMARKS, Faces

_READERS = 8
"""Threads that read image headers: the time goes to waiting for the file system."""
_NAMES_SHOWN = 5
_ROUNDING = 1e-3
"""Pixels over the border that are not worth a word: fractions of a side give them."""

logger = logging.getLogger(__name__)


class Annotation(NamedTuple):
    """One image of a split and its faces, in pixels of the file as stored."""

    name: str
    """``event/file.jpg``."""
    path: Path
    faces: Faces


class Reading(NamedTuple):
    """A split with everything that was noticed while reading it."""

    option: str
    """The ``data=`` that reads it."""
    label_file: Path
    """Or the folder of label files."""
    image_folder: Path
    has_labels: bool
    """False where the split is only a list of names."""
    images: list[LabelledImage]
    """Every image of the label files, with its labels as they stand there; those that cannot be
    used have no size."""
    annotations: list[Annotation]
    """Usable images, in the order of the label file."""
    sizes: list[ImageSize]
    """Size of each image in ``annotations``."""
    problems: list[Problem]
    num_zero_size: int
    """Boxes of no width or height, dropped: the official evaluation does not count them either."""
    num_clipped: int
    """Boxes that reached over the border of their image."""
    remarks: Counter[str]
    """What was read otherwise than the files say, or not at all -> how often."""

    @property
    def listed(self) -> list[str]:
        """Every name of the label files, also of images that cannot be used."""
        return [image.name for image in self.images]


def read_split(
    root: Path,
    split: Split,
    *,
    layout: str = "widerface",
    category: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Reading:
    """Read one split; stops at anything that would spoil training hours later.

    Args:
        root: folder of the tree.
        split: ``train`` or ``val``.
        layout: one of :data:`src.data.layouts.READERS`.
        category: which of several categories are faces, in layouts that have such.
        max_pixels: that an image may have.

    Returns:
        One annotation per image, boxes clipped to the image, boxes of zero size dropped; and what
        was noticed on the way.

    Raises:
        FileNotFoundError: if the root, its label file or a listed image does not exist.
        ValueError: for a label line or an image file at fault; names the file and the line.
    """
    reading = inspect_split(root, split, layout=layout, category=category, max_pixels=max_pixels)
    if reading.problems:
        raise _first_error(reading, Path(root))
    faces = [annotation.faces for annotation in reading.annotations]
    logger.info(
        "%s: %d images, %d faces, %d of them ignored; %d boxes of zero size dropped, %d clipped%s",
        reading.label_file,
        len(faces),
        sum(len(each.boxes) for each in faces),
        sum(int(each.ignore.sum()) for each in faces),
        reading.num_zero_size,
        reading.num_clipped,
        "".join(f"; {count:,} {what}" for what, count in reading.remarks.items()),
    )
    return reading


def inspect_split(
    root: Path,
    split: Split,
    *,
    layout: str = "widerface",
    category: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Reading:
    """Read one split and collect its problems instead of stopping at the first.

    Raises:
        FileNotFoundError: if the root or its label file does not exist.
        ValueError: if a file of the whole split cannot be made sense of.
    """
    if split not in ("train", "val"):
        raise ValueError(f"expected the split 'train' or 'val', got {split!r}")
    reader, found = _find(Path(root), split, layout)
    labels = reader.read(Path(root), split, found, category)
    if not labels.images and not labels.problems:
        labels.refuse(found, None, "expected at least one image, got an empty list")
    labels.problems.extend(_duplicates(labels.images))
    images = _measured(labels, max_pixels)
    faces, num_zero_size, num_clipped = _faces(images, labels.problems)
    usable = [(i, each) for i, each in zip(images, faces, strict=True) if i.size is not None]
    return Reading(
        option=reader.option,
        label_file=found,
        image_folder=labels.image_folder,
        has_labels=labels.has_labels,
        images=images,
        annotations=[
            Annotation(image.name, labels.image_folder / image.name, each) for image, each in usable
        ],
        sizes=[image.size for image, _ in usable if image.size is not None],
        problems=labels.problems,
        num_zero_size=num_zero_size,
        num_clipped=num_clipped,
        remarks=labels.remarks,
    )


def _find(root: Path, split: Split, layout: str) -> tuple[Reader, Path]:
    """The reader whose files are there, and its label file or folder."""
    advice = "set data.root=<folder>"
    title = READERS[layout][0].title
    if layout == "widerface":
        advice += " or the environment variable WIDERFACE_ROOT"
    if not root.is_dir():
        raise FileNotFoundError(f"expected a folder of {title} at {root}, found none; {advice}")
    for reader in READERS[layout]:
        found = reader.find(root, split)
        if found is not None:
            return reader, found
    looked_for = [r.looked_for.format(split=split) for r in READERS[layout]]
    if split == "train" and layout == "widerface":
        looked_for.pop()  # a list of names can be validated on only
    there = [name for name in layouts_of(root) if name not in {r.name for r in READERS[layout]}]
    if there:
        advice = f"its layout is '{there[0]}': set data={READERS[there[0]][0].option}"
    elif split == "val" and any(reader.find(root, "train") for reader in READERS[layout]):
        advice = (
            "validate on training images set aside, with data.num_held_out=N "
            f"data.val_split=held_out, or {advice}"
        )
    else:
        advice += "; python -m src.convert converts other layouts"
    raise FileNotFoundError(
        f"expected the {split} labels of {title} in {root}, found none of "
        f"{', '.join(looked_for)}; {advice}"
    )


def _duplicates(images: list[LabelledImage]) -> list[Problem]:
    """An image in two entries would be trained with the faces of one as background of the other."""
    first: dict[str, int | str | None] = {}
    problems = []
    for image in images:
        if image.name in first:
            place = first[image.name]
            where = f"on line {place}" if isinstance(place, int) else f"in {place}"
            message = f"{image.name} is listed a second time, first {where}; merge the two"
            problems.append(Problem("duplicate", image.label_file, image.place, message))
        first.setdefault(image.name, image.place)
    return problems


# --- images ------------------------------------------------------------------------------------


def _measured(labels: Labels, max_pixels: int) -> list[LabelledImage]:
    """The images with the sizes of their files, None where one cannot be used, all in pixels."""
    folder = labels.image_folder

    def look_at(image: LabelledImage) -> ImageSize | Problem:
        path = folder / image.name
        try:
            size = read_image_size(path, max_pixels)
        except (FileNotFoundError, NotADirectoryError):
            message = f"{image.name} does not exist in {folder}"
            return Problem("missing", image.label_file, image.place, message)
        except ValueError as error:
            return Problem("image", path, None, str(error).removeprefix(f"{path}: "))
        except OSError as error:
            message = f"expected a file that can be read, got '{error.strerror}'; correct its name"
            return Problem("image", path, None, message)
        if image.size not in (None, size):
            assert image.size is not None
            turned = image.size == size[::-1]
            message = (
                f"expected the size of {image.name}, {size.width} x {size.height} pixels as "
                f"stored, got {image.size.width} x {image.size.height}; "
                + ("labels count pixels before an EXIF rotation" if turned else "label it again")
            )
            return Problem("label", image.label_file, image.place, message)
        return size

    with ThreadPoolExecutor(_READERS) as pool:
        seen = list(pool.map(look_at, labels.images))
    labels.problems.extend(each for each in seen if isinstance(each, Problem))
    images = []
    for image, size in zip(labels.images, seen, strict=True):
        if isinstance(size, ImageSize):
            image = _in_pixels(image, size) if labels.relative else image
            images.append(image._replace(size=size))
        else:
            images.append(image._replace(size=None))
    return images


def _in_pixels(image: LabelledImage, size: ImageSize) -> LabelledImage:
    height, width = size
    faces = []
    for face in image.faces:
        x, y, w, h = face.box
        points = face.landmarks
        if points is not None:
            points = tuple((px * width, py * height, seen) for px, py, seen in points)
        box = (x * width, y * height, w * width, h * height)
        faces.append(face._replace(box=box, landmarks=points))
    return image._replace(faces=faces)


# --- faces -------------------------------------------------------------------------------------


def _faces(images: list[LabelledImage], problems: list[Problem]) -> tuple[list[Faces], int, int]:
    """Faces per image, the number of boxes of zero size and the number clipped."""
    labels = [face for image in images for face in image.faces]
    owners = np.repeat(np.arange(len(images)), [len(image.faces) for image in images])
    rows = np.array([face.box for face in labels], dtype=np.float64).reshape(-1, 4)
    ignore = np.array([face.ignore for face in labels], dtype=bool)
    has_landmarks = np.array([is_complete(face.landmarks) for face in labels], dtype=bool)
    points = np.zeros((len(labels), NUM_LANDMARKS, 2))
    for index in np.flatnonzero(has_landmarks):
        points[index] = [point[:2] for point in labels[index].landmarks or ()]

    unknown = ImageSize(0, 0)
    limits = np.array([(i.size or unknown)[::-1] for i in images], dtype=np.float64).reshape(-1, 2)
    limit = limits[owners]
    known = limit[:, 0] > 0
    low, high = rows[:, :2], rows[:, :2] + rows[:, 2:4]
    zero_size = (rows[:, 2:4] <= 0).any(axis=1)
    outside = ((high <= 0) | (low >= limit)).any(axis=1) & known & ~zero_size
    beyond = (low < -_ROUNDING) | (high > limit + _ROUNDING)
    over = beyond.any(axis=1) & known & ~zero_size & ~outside
    # Some way over the border is where the rest of a face would be; further is a mistake.
    astray = ((points < -limit[:, None]) | (points > 2 * limit[:, None])).any(axis=(1, 2)) & known
    # What the annotators called no valid face is no fault of the file.
    for index in np.flatnonzero((outside | astray) & ~ignore):
        image, face = images[owners[index]], labels[index]
        width, height = limit[index]
        box = " ".join(f"{value:g}" for value in face.box)
        message = (
            f"expected a face inside its image of {width:g} x {height:g} pixels, got "
            + (f"the box {box} wholly" if outside[index] else "landmarks far")
            + f" outside {image.name}; correct or remove it"
        )
        problems.append(Problem("outside", image.label_file, face.place, message))

    has_landmarks &= ~astray
    points[astray] = 0
    boxes = np.concatenate([np.maximum(low, 0), np.minimum(high, limit)], axis=1)
    boxes = boxes.astype(np.float32)
    # Asked again of float32: a sliver at the border can lose its width in rounding.
    keep = known & ~zero_size & ~outside & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    bounds = np.searchsorted(owners[keep], np.arange(1, len(images)))
    columns = (boxes, points.astype(np.float32), has_landmarks, ignore)
    pieces = [np.split(column[keep], bounds) for column in columns]
    faces = [Faces(*each) for each in zip(*pieces, strict=True)]
    return faces[: len(images)], int(zero_size.sum()), int(over.sum())


def _first_error(reading: Reading, root: Path) -> Exception:
    first, count = reading.problems[0], len(reading.problems)
    absent = " does not exist in "
    missing = [problem for problem in reading.problems if absent in problem.message]
    if first in missing:
        names = ", ".join(p.message.split(absent)[0] for p in missing[:_NAMES_SHOWN])
        return FileNotFoundError(
            f"expected the {len(reading.images):,} images of {reading.label_file} in "
            f"{reading.image_folder}, got {len(missing):,} that do not exist, first {names}; "
            "complete the folder or set data.root"
        )
    others = f" ({count - 1:,} more)" if count > 1 else ""
    return ValueError(
        f"{first}{others}; 'python -m src.check_data data={reading.option} data.root={root}' "
        "lists all"
    )
