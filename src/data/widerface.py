"""Reader of WIDER FACE trees, real or generated, in either of the two layouts people have.

RetinaFace: ``train/label.txt`` with ``train/images``, ``val/label.txt`` or ``val/wider_val.txt``
(names only) with ``val/images``.
Official: ``wider_face_split/wider_face_<split>_bbx_gt.txt`` with ``WIDER_<split>/images``.
What the lines mean is in :mod:`src.data.label_files`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from src.data.label_files import (
    NUM_COLUMNS,
    Labels,
    Problem,
    parse_names,
    parse_official,
    parse_retinaface,
)
from src.images.header import ImageSize, read_image_size
from src.types import NUM_LANDMARKS, Faces

Split = Literal["train", "val"]

_READERS = 8
"""Threads that read image headers: the time goes to waiting for the file system."""
_NAMES_SHOWN = 5

logger = logging.getLogger(__name__)


class Annotation(NamedTuple):
    """One image of a split and its faces, in pixels of the file as stored."""

    name: str
    """``event/file.jpg``."""
    path: Path
    faces: Faces


class Reading(NamedTuple):
    """A split with everything that was noticed while reading it."""

    label_file: Path
    image_folder: Path
    has_labels: bool
    """False where the split is only a list of names."""
    listed: list[str]
    """Every name of the label file, also of images that cannot be used."""
    annotations: list[Annotation]
    """Usable images, in the order of the label file."""
    sizes: list[ImageSize]
    """Size of each image in ``annotations``."""
    problems: list[Problem]
    num_zero_size: int
    """Boxes of no width or height, dropped: the official evaluation does not count them either."""
    num_clipped: int
    """Boxes that reached over the border of their image."""


def read_split(root: Path, split: Split) -> Reading:
    """Read one split; stops at anything that would spoil training hours later.

    Args:
        root: folder of either layout.
        split: ``train`` or ``val``.

    Returns:
        One annotation per image, boxes clipped to the image, boxes of zero size dropped; and what
        was noticed on the way.

    Raises:
        FileNotFoundError: if the root, its label file or a listed image does not exist.
        ValueError: for a label line or an image file at fault; names the file and the line.
    """
    reading = inspect_split(root, split)
    if reading.problems:
        raise _first_error(reading, Path(root))
    faces = [annotation.faces for annotation in reading.annotations]
    logger.info(
        "%s: %d images, %d faces, %d of them ignored; %d boxes of zero size dropped, %d clipped",
        reading.label_file,
        len(faces),
        sum(len(each.boxes) for each in faces),
        sum(int(each.ignore.sum()) for each in faces),
        reading.num_zero_size,
        reading.num_clipped,
    )
    return reading


def inspect_split(root: Path, split: Split) -> Reading:
    """Read one split and collect its problems instead of stopping at the first.

    Raises:
        FileNotFoundError: if the root or its label file does not exist.
    """
    label_file, image_folder, parse = _find_layout(Path(root), split)
    problems: list[Problem] = []
    labels = parse(label_file, problems)
    if not labels.names and not problems:
        problems.append(
            Problem("label", label_file, None, "expected at least one image, got an empty list")
        )
    problems.extend(_duplicates(labels, label_file))

    def look_at(line: int, name: str) -> ImageSize | Problem:
        path = image_folder / name
        try:
            return read_image_size(path)
        except (FileNotFoundError, NotADirectoryError):
            message = f"{name} does not exist in {image_folder}"
            return Problem("missing", label_file, line, message)
        except (ValueError, OSError) as error:
            return Problem("image", path, None, str(error).removeprefix(f"{path}: "))

    with ThreadPoolExecutor(_READERS) as pool:
        looked_at = list(pool.map(look_at, labels.name_lines, labels.names))
    problems.extend(seen for seen in looked_at if isinstance(seen, Problem))
    sizes = [seen if isinstance(seen, ImageSize) else None for seen in looked_at]
    faces, num_zero_size, num_clipped = _faces(labels, sizes, label_file, problems)
    annotations = [
        Annotation(name, image_folder / name, faces[index])
        for index, (name, size) in enumerate(zip(labels.names, sizes, strict=True))
        if size is not None
    ]
    return Reading(
        label_file=label_file,
        image_folder=image_folder,
        has_labels=parse is not parse_names,
        listed=labels.names,
        annotations=annotations,
        sizes=[size for size in sizes if size is not None],
        problems=problems,
        num_zero_size=num_zero_size,
        num_clipped=num_clipped,
    )


# --- which files -------------------------------------------------------------------------------


_Parser = Callable[[Path, list[Problem]], Labels]


def _find_layout(root: Path, split: Split) -> tuple[Path, Path, _Parser]:
    """The label file, image folder and parser of a split."""
    advice = "set data.root=<folder> or the environment variable WIDERFACE_ROOT"
    if split not in ("train", "val"):
        raise ValueError(f"expected the split 'train' or 'val', got {split!r}")
    if not root.is_dir():
        raise FileNotFoundError(f"expected a folder of WIDER FACE at {root}, found none; {advice}")
    candidates: list[tuple[Path, Path, _Parser]] = [
        (root / split / "label.txt", root / split / "images", parse_retinaface),
        (
            root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt",
            root / f"WIDER_{split}" / "images",
            parse_official,
        ),
    ]
    if split == "val":
        # Last: a tree that has labels as well should be read with them.
        candidates.append(
            (root / "val" / "wider_val.txt", root / "val" / "images", parse_names),
        )
    for candidate in candidates:
        if candidate[0].is_file():
            return candidate
    looked_for = ", ".join(str(file.relative_to(root)) for file, _, _ in candidates)
    raise FileNotFoundError(
        f"expected the {split} labels of WIDER FACE in {root}, found none of {looked_for}; {advice}"
    )


def _duplicates(labels: Labels, file: Path) -> list[Problem]:
    """An image in two entries would be trained with the faces of one as background of the other."""
    first: dict[str, int] = {}
    problems = []
    for name, line in zip(labels.names, labels.name_lines, strict=True):
        if name in first:
            message = f"{name} is listed a second time, first on line {first[name]}; merge the two"
            problems.append(Problem("duplicate", file, line, message))
        first.setdefault(name, line)
    return problems


# --- faces -------------------------------------------------------------------------------------


def _faces(
    labels: Labels,
    sizes: Sequence[ImageSize | None],
    file: Path,
    problems: list[Problem],
) -> tuple[list[Faces], int, int]:
    """Faces per image, the number of boxes of zero size and the number clipped."""
    rows = np.array(labels.rows, dtype=np.float64).reshape(-1, NUM_COLUMNS)
    owners = np.array(labels.owners, dtype=np.int64)
    lines = np.array(labels.lines, dtype=np.int64)

    points = rows[:, 4:-1].reshape(-1, NUM_LANDMARKS, 3)[:, :, :2]
    # A point may have one negative coordinate when its face is cut by the border.
    has_landmarks = ~(points == -1).all(axis=2).any(axis=1)
    landmarks = np.where(has_landmarks[:, None, None], points, 0).astype(np.float32)
    ignore = (rows[:, -1] == 0) & ~has_landmarks

    unknown = ImageSize(0, 0)
    limits = np.array([(s or unknown)[::-1] for s in sizes], dtype=np.float64).reshape(-1, 2)
    limit = limits[owners]
    known = limit[:, 0] > 0
    low, high = rows[:, :2], rows[:, :2] + rows[:, 2:4]
    zero_size = (rows[:, 2:4] <= 0).any(axis=1)
    outside = ((high <= 0) | (low >= limit)).any(axis=1) & known & ~zero_size
    over = ((low < 0) | (high > limit)).any(axis=1) & known & ~zero_size & ~outside
    # What the annotators called no valid face is no fault of the file.
    for index in np.flatnonzero(outside & ~ignore):
        box = " ".join(f"{value:g}" for value in rows[index, :4])
        width, height = limit[index]
        message = (
            f"expected a face inside its image of {width:g} x {height:g} pixels, got the box {box} "
            f"wholly outside {labels.names[owners[index]]}; correct or remove the line"
        )
        problems.append(Problem("outside", file, int(lines[index]), message))

    boxes = np.concatenate([np.maximum(low, 0), np.minimum(high, limit)], axis=1)
    boxes = boxes.astype(np.float32)
    # Asked again of float32: a sliver at the border can lose its width in rounding.
    keep = known & ~zero_size & ~outside & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    bounds = np.searchsorted(owners[keep], np.arange(1, len(sizes)))
    columns = (boxes, landmarks, has_landmarks, ignore)
    pieces = [np.split(column[keep], bounds) for column in columns]
    faces = [Faces(*image) for image in zip(*pieces, strict=True)]
    return faces, int(zero_size.sum()), int(over.sum())


def _first_error(reading: Reading, root: Path) -> Exception:
    first, count = reading.problems[0], len(reading.problems)
    if first.kind == "missing":
        missing = [problem for problem in reading.problems if problem.kind == "missing"]
        names = ", ".join(p.message.split(" does not exist")[0] for p in missing[:_NAMES_SHOWN])
        return FileNotFoundError(
            f"expected the {len(reading.listed):,} images of {reading.label_file} in "
            f"{reading.image_folder}, got {len(missing):,} that do not exist, first {names}; "
            "complete the folder or set data.root"
        )
    others = f" ({count - 1:,} more)" if count > 1 else ""
    return ValueError(
        f"{first}{others}; 'python -m src.check_data data=widerface data.root={root}' lists all"
    )
