"""YOLO: a text file beside each image, ``images/train/a.jpg`` and ``labels/train/a.txt``.

Also ``train/images`` with ``train/labels``, and what ``data.yaml`` in the root names. A line is a
face: class, then x and y of the centre, width, height, as fractions of the image; of a pose data
set five times (x, y, visibility) or (x, y) behind it. An image without a file has no faces.

Source: docs.ultralytics.com, "Object Detection Datasets" and "Pose Estimation Datasets"; -1 for a
missing landmark: yolov5-face.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from src.data.layouts.categories import face_category
from src.data.layouts.labels import (
    NOT_LABELLED,
    SPLIT_WORDS,
    VISIBLE,
    Label,
    LabelledImage,
    Labels,
    Landmark,
    Problem,
    Split,
    image_name,
    landmarks_or_none,
    quoted,
)
from src.data.layouts.text import numbers, read_lines, write_lines
from src.images.files import IMAGE_SUFFIXES
from src.images.header import ImageSize
from src.runs.bounded import check_yaml
from src.types import NUM_LANDMARKS

_DESCRIPTION = ("data.yaml", "dataset.yaml", "data.yml")
_BOX = 5
_WITH_POINTS = (_BOX + 2 * NUM_LANDMARKS, _BOX + 3 * NUM_LANDMARKS)
_OF_TOOLS = ("classes.txt", "notes.txt", "README.txt")
"""What tools that label put beside the label files."""
_ROUNDING = 1e-6
_FAR = 1.0
"""Image sides that a landmark may lie outside its image: beyond, it is no fraction but pixels."""


class Yolo:
    """The layout of Ultralytics and its kin."""

    name = "yolo"
    option = "yolo"
    title = "YOLO"
    looked_for = "images/{split} with labels/{split}, {split}/images with {split}/labels, data.yaml"

    def find(self, root: Path, split: Split) -> Path | None:
        images = _images(root, split)
        return None if images is None else _labels_beside(root, images)

    def read(self, root: Path, split: Split, found: Path, category: str | None) -> Labels:
        images = _images(root, split)
        assert images is not None  # find has found them
        labels = Labels(found, images, relative=True)
        file, description = _description(root)
        names = _names(description, file) if file else {0: "face"}
        number = face_category(names, category, file or found)
        points = _points(description, file)
        files = [path for path in sorted(found.rglob("*.txt")) if path.is_file()]
        pending = {path.relative_to(found).as_posix(): path for path in files}
        if not pending:
            labels.refuse(found, None, f"expected label files of the images in {images}, got none")
        owners: dict[str, str] = {}
        for path in sorted(images.rglob("*")):
            if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
                continue
            name = path.relative_to(images).as_posix()
            key = str(PurePosixPath(name).with_suffix(".txt"))
            if key in owners:
                message = f"{name} and {owners[key]} share the labels {key}; rename one of them"
                labels.problems.append(Problem("duplicate", path, None, message))
                continue
            owners[key] = name
            label_file = pending.pop(key, None)
            faces: list[Label] = []
            if label_file is None:
                labels.remarks["images without a label file, taken as without faces"] += 1
            else:
                faces = _read_faces(label_file, labels, names, number, points)
            labels.images.append(LabelledImage(name, faces, label_file or found, None))
        for key, label_file in pending.items():
            if key in _OF_TOOLS:
                continue
            message = (
                f"expected an image {images / key.removesuffix('.txt')} with one of the endings "
                f"{', '.join(IMAGE_SUFFIXES)}, found none; add it or remove the labels"
            )
            labels.problems.append(Problem("missing", label_file, None, message))
        return labels

    def image_folder(self, root: Path, split: Split) -> Path:
        return root / "images" / split

    def fit(self, label: Label, size: ImageSize) -> Label | None:
        x, y, width, height = label.box
        limit_x, limit_y = size.width, size.height
        if label.ignore or width < 0 or height < 0:
            return None
        left, right = max(x, 0.0), min(x + width, limit_x)
        top, bottom = max(y, 0.0), min(y + height, limit_y)
        if left > right or top > bottom or (left == right) > (width == 0):
            return None
        if (top == bottom) > (height == 0):
            return None
        box = (left, top, right - left, bottom - top)
        landmarks = None
        if label.landmarks is not None:
            landmarks = landmarks_or_none(
                [
                    (px, py, seen if 0 <= px <= limit_x and 0 <= py <= limit_y else NOT_LABELLED)
                    for px, py, seen in label.landmarks
                ]
            )
        return Label(box, landmarks, place=label.place)

    def write(self, root: Path, splits: Mapping[Split, Sequence[LabelledImage]]) -> None:
        pose = any(f.landmarks for images in splits.values() for i in images for f in i.faces)
        for split, images in splits.items():
            write_yolo(root / "labels" / split, images, pose=pose)
        write_description(root, {split: f"images/{split}" for split in splits}, pose=pose)


def label_name(name: str) -> str:
    """The label file of an image, below the folder of label files."""
    return str(PurePosixPath(image_name(name)).with_suffix(".txt"))


def check_label_names(names: Sequence[str]) -> None:
    """Refuse images that would share a label file, because their names differ in the ending only.

    Raises:
        ValueError: naming two of them.
    """
    owners: dict[str, str] = {}
    for name in names:
        other = owners.setdefault(label_name(name), name)
        if other != name:
            raise ValueError(
                f"expected a YOLO label file of its own for each image, got {other} and {name}, "
                f"which share {label_name(name)}; rename one of them"
            )


def write_yolo(folder: Path, images: Sequence[LabelledImage], *, pose: bool) -> None:
    """Write the faces of images, which fit, with their landmarks if ``pose``.

    Raises:
        ValueError: two images would share a file.
    """
    check_label_names([image.name for image in images])
    for image in images:
        assert image.size is not None
        lines = [_line(face, image.size, pose) for face in image.faces]
        write_lines(folder / label_name(image.name), lines)


def write_description(root: Path, folders: Mapping[str, str], *, pose: bool) -> None:
    """Write ``data.yaml``: the folders of images per split, the class, the landmarks."""
    content: dict[str, Any] = {**folders, "names": {0: "face"}}
    if pose:
        content |= {"kpt_shape": [NUM_LANDMARKS, 3], "flip_idx": [1, 0, 2, 4, 3]}
    write_lines(root / "data.yaml", yaml.safe_dump(content, sort_keys=False).splitlines())


def _line(face: Label, size: ImageSize, pose: bool) -> str:
    x, y, width, height = face.box
    values = [(x + width / 2) / size.width, (y + height / 2) / size.height,
              width / size.width, height / size.height]  # fmt: skip
    texts = ["0", *(repr(min(value, 1.0)) for value in values)]
    for px, py, seen in face.landmarks or ((0.0, 0.0, NOT_LABELLED),) * NUM_LANDMARKS * pose:
        texts += [repr(px / size.width), repr(py / size.height), str(seen)]
    return " ".join(texts)


# --- what may be in a tree ----------------------------------------------------------------------


def _description(root: Path) -> tuple[Path | None, Mapping[str, Any]]:
    """The file that describes the data set, and its content; None where there is none."""
    file = next((root / name for name in _DESCRIPTION if (root / name).is_file()), None)
    if file is None:
        return None, {}
    try:
        text = file.read_bytes().decode("utf-8-sig")
        check_yaml(text)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file}: expected YAML, got '{reason}'; correct the file") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file}: expected a table of settings, got {quoted(content)}; correct it")
    return file, content


def _names(description: Mapping[str, Any], file: Path) -> dict[int, str]:
    """Number of each class -> its name."""
    names = description.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if (
        not isinstance(names, dict)
        or not names
        or not all(type(k) is int and isinstance(v, (str, int)) for k, v in names.items())
    ):
        raise ValueError(
            f"{file}: expected the names of the classes under 'names', got "
            f"{quoted(description.get('names'))}; write for example names: [face]"
        )
    return {number: str(name) for number, name in names.items()}


def _points(description: Mapping[str, Any], file: Path | None) -> int | None:
    """Numbers behind a box, where ``kpt_shape`` says it; None: as many as there are."""
    shape = description.get("kpt_shape")
    if shape is None:
        return None
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)):
        raise ValueError(
            f"{file}: expected kpt_shape of two whole numbers, got {quoted(shape)}; write for "
            f"example kpt_shape: [{NUM_LANDMARKS}, 3]"
        )
    return int(shape[0] * shape[1])


def _images(root: Path, split: Split) -> Path | None:
    """The folder of images of a split."""
    file, description = _description(root)
    for word in SPLIT_WORDS[split]:
        named = description.get(word)
        if named is None:
            continue
        if not isinstance(named, str):
            raise ValueError(
                f"{file}: expected one folder of images under '{word}', got {quoted(named)}; put "
                "the images into one folder, or src.convert each"
            )
        # As exported by Roboflow, '../train/images' means a folder beside data.yaml.
        parts = [part for part in PurePosixPath(named).parts if part not in ("..", ".")]
        folder = root / named if PurePosixPath(named).is_absolute() else root.joinpath(*parts)
        if not _is_folder(folder) or not folder.resolve().is_relative_to(root.resolve()):
            raise ValueError(
                f"{file}: expected a folder of images inside {root} under '{word}', got "
                f"{quoted(named)}; correct it or set data.root to the folder that has it"
            )
        return folder
    for word in SPLIT_WORDS[split]:
        for folder in (root / "images" / word, root / word / "images"):
            if folder.is_dir() and _labels_beside(root, folder).is_dir():
                return folder
    return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name longer than there are
        return False


def _labels_beside(root: Path, images: Path) -> Path:
    """The folder of label files: ``labels`` instead of the last ``images`` in the path."""
    parts = list(images.relative_to(root).parts)
    if "images" not in parts:
        return images
    last = len(parts) - 1 - parts[::-1].index("images")
    parts[last] = "labels"
    return root.joinpath(*parts)


def _read_faces(
    file: Path, labels: Labels, names: Mapping[int, str], wanted: int, points: int | None
) -> list[Label]:
    counts = (_BOX, *_WITH_POINTS) if points is None else (_BOX, _BOX + points)
    faces = []
    for line, text in read_lines(file):
        row = numbers(text, counts, labels, file, line)
        if row is None:
            continue
        try:
            if row[0] not in names:
                known = ", ".join(f"{number} ({name})" for number, name in [*names.items()][:8])
                raise ValueError(
                    f"expected a class of {known}, got {row[0]:g}; correct the line, or the names "
                    "in data.yaml"
                )
            if row[0] != wanted:
                labels.remarks["boxes of other classes left out"] += 1
                continue
            faces.append(_label(row, line, labels))
        except ValueError as error:
            labels.refuse(file, line, str(error))
    return faces


def _label(row: list[float], line: int, labels: Labels) -> Label:
    x, y, width, height = row[1:_BOX]
    if min(width, height) < 0:
        raise ValueError(
            f"expected a box of positive size, got {width:g} x {height:g}; correct or remove the "
            "line"
        )
    if not all(-_ROUNDING <= value <= 1 + _ROUNDING for value in row[1:_BOX]):
        raise ValueError(
            "expected x, y, width and height as fractions of the image, from 0 to 1, got "
            f"{x:g} {y:g} {width:g} {height:g}; divide pixels by the size of the image"
        )
    return Label(
        (x - width / 2, y - height / 2, width, height), _landmarks(row, labels), place=line
    )


def _landmarks(row: list[float], labels: Labels) -> tuple[Landmark, ...] | None:
    if len(row) == _BOX:
        return None
    if len(row) not in _WITH_POINTS:
        what = f"faces whose keypoints are not {NUM_LANDMARKS}, taken as without landmarks"
        labels.remarks[what] += 1
        return None
    step = (len(row) - _BOX) // NUM_LANDMARKS
    points = []
    for start in range(_BOX, len(row), step):
        x, y = row[start : start + 2]
        # Without a visibility, what is negative is missing.
        seen = row[start + 2] if step == 3 else VISIBLE * (x >= 0 and y >= 0)
        if seen not in (0, 1, 2):
            raise ValueError(f"expected visibilities of 0, 1 or 2, got {seen:g}; correct the line")
        if seen and not all(-_FAR <= value <= 1 + _FAR for value in (x, y)):
            raise ValueError(
                f"expected landmarks as fractions of the image, got {x:g} {y:g}; divide pixels by "
                "the size of the image"
            )
        points.append((x, y, int(seen)))
    return landmarks_or_none(points)
