"""Which faces of an image count in which setting of WIDER FACE, and the .mat files that say so.

Source: the official ``eval_tools`` of WIDER FACE. ``wider_face_val.mat`` holds every labelled box;
``wider_easy_val.mat``, ``wider_medium_val.mat`` and ``wider_hard_val.mat`` hold, per image, the
1-based numbers of the boxes that the setting counts.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.io

from src.evaluation.mat_files import Value, read_mat

LEVELS = ("easy", "medium", "hard")
"""The official settings; each counts the faces of the one before it and more."""

MIN_HEIGHT = {"easy": 50, "medium": 30, "hard": 10}
"""Pixels, inclusive: our stand-in for the official lists, see ``truth_from_boxes``."""

MAT_FILES = {"face": "wider_face_val.mat"} | {level: f"wider_{level}_val.mat" for level in LEVELS}

# scipy writes the time of day into this text; a fixed one makes equal input give equal bytes.
_MAT_HEADER = b"MATLAB 5.0 MAT-file, ground truth in the layout of WIDER FACE".ljust(116)

_LARGEST = 1e9
"""Pixels, and faces of an image."""
_LEAST_SIZE = -2
"""Pixels: one official box, of 39_Ice_Skating_iceskiing_39_583, has this width and counts."""


class ImageTruth(NamedTuple):
    """Labelled faces of one image and the settings that count them; other faces are ignored."""

    boxes_xywh: np.ndarray
    """[N, 4] float64: left, top, width, height in pixels of the original image."""
    easy: np.ndarray
    """[N] bool."""
    medium: np.ndarray
    """[N] bool."""
    hard: np.ndarray
    """[N] bool."""


def read_ground_truth(folder: Path) -> dict[str, ImageTruth]:
    """Read the four official .mat files.

    Args:
        folder: the folder that holds the files of ``MAT_FILES``.

    Returns:
        ``event/file.jpg`` -> faces, in the order of the files.

    Raises:
        FileNotFoundError: if one of the four files is missing.
        ValueError: if a file cannot be read, lacks a variable, or contradicts another one.
    """
    faces = _load(folder / MAT_FILES["face"], "face_bbx_list")
    names = list(faces)
    counted = {}
    for level in LEVELS:
        path = folder / MAT_FILES[level]
        counted[level] = _load(path, "gt_list")
        if list(counted[level]) != names:
            raise ValueError(
                f"expected the {len(names)} images of {MAT_FILES['face']} in {path}, "
                f"got {len(counted[level])} in another order or of other names; "
                "take all four files from one download"
            )
    return {name: _image_truth(folder, name, faces[name], counted) for name in names}


def write_ground_truth(folder: Path, truth: Mapping[str, ImageTruth]) -> None:
    """Write ``truth`` in the layout of the official files; equal input gives equal bytes.

    Args:
        folder: created if missing.
        truth: ``event/file.jpg`` -> faces. Images of one event are stored together, so reading
            back gives an equal mapping, ordered by the first appearance of each event.

    Raises:
        ValueError: if ``truth`` is empty or a name is not ``event/file.jpg``.
    """
    if not truth:
        raise ValueError("expected at least one image to write, got none; generate images first")
    events: dict[str, list[str]] = {}
    for name in truth:
        events.setdefault(_split(name)[0], []).append(name)

    def per_image(value: Callable[[str], Any]) -> np.ndarray:
        return _cells([_cells([value(name) for name in names]) for names in events.values()])

    shared = {
        "event_list": _cells(list(events)),
        "file_list": per_image(lambda name: _split(name)[1]),
        # float64, where the official files hold int32: generated boxes may have fractions.
        "face_bbx_list": per_image(lambda name: np.asarray(truth[name].boxes_xywh, np.float64)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder / MAT_FILES["face"], shared)
    for level in LEVELS:
        numbers = per_image(lambda name: _numbers(getattr(truth[name], level)))  # noqa: B023
        _save(folder / MAT_FILES[level], shared | {"gt_list": numbers})


def truth_from_boxes(boxes: np.ndarray, ignore: np.ndarray) -> ImageTruth:
    """Settings for a tree without .mat files: a face counts from a height of ``MIN_HEIGHT`` on.

    This is our rule, not the official one, which goes by how well EdgeBox finds the faces of an
    event (Yang et al., WIDER FACE, CVPR 2016). AP by this rule compares models on one tree with
    each other, and with nothing else.

    Args:
        boxes: [N, 4] (x1, y1, x2, y2), pixels.
        ignore: [N] bool; these faces, and faces without area, count in no setting.

    Returns:
        The nested settings, in the order of ``boxes``.

    Raises:
        ValueError: if the shapes do not fit each other.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or ignore.shape != boxes.shape[:1]:
        raise ValueError(
            f"expected boxes [N, 4] and ignore [N], got {boxes.shape} and {ignore.shape}; "
            "pass one flag per box"
        )
    corners = boxes.astype(np.float64)
    sizes = corners[:, 2:] - corners[:, :2]
    usable = ~ignore & (sizes > 0).all(axis=1)
    counted = {level: usable & (sizes[:, 1] >= MIN_HEIGHT[level]) for level in LEVELS}
    return ImageTruth(np.concatenate([corners[:, :2], sizes], axis=1), **counted)


def _load(path: Path, variable: str) -> dict[str, np.ndarray]:
    """``event/file.jpg`` -> the array that ``variable`` holds for it."""
    if not path.is_file():
        raise FileNotFoundError(
            f"expected the WIDER FACE ground truth at {path}, found no such file; point to the "
            f"folder of eval_tools that holds {', '.join(MAT_FILES.values())}"
        )
    wanted = ["event_list", "file_list", variable]
    try:
        content = read_mat(path, wanted)
    except ValueError as error:  # also text that cannot be decoded
        raise ValueError(
            f"expected a MATLAB 5 file at {path}, got {error}; download it again"
        ) from None
    missing = [name for name in wanted if name not in content]
    if missing:
        raise ValueError(
            f"expected the variables {wanted} in {path}, got no {missing}; "
            "use the ground truth files of the official eval_tools"
        )
    found: dict[str, np.ndarray] = {}
    try:
        columns = [_cells_of(content[name]) for name in wanted]
        for event, files, values in zip(*columns, strict=True):
            for file, value in zip(_cells_of(files), _cells_of(values), strict=True):
                if not (isinstance(event, str) and isinstance(file, str)):
                    raise ValueError("a name that is no text")
                if not isinstance(value, np.ndarray) or not np.isfinite(value).all():
                    raise ValueError(f"other than finite numbers for {event}/{file}.jpg")
                name = f"{event}/{file}.jpg"
                if name in found:
                    raise ValueError(f"{name} twice")
                found[name] = value
    except ValueError as error:
        raise ValueError(
            f"expected one entry of {variable} per file of file_list in {path}, got something "
            f"else ({error}); use the ground truth files of the official eval_tools"
        ) from None
    return found


def _cells_of(value: Value) -> list[Value]:
    if not isinstance(value, list):
        raise ValueError("no list of cells")
    return value


def _image_truth(
    folder: Path, name: str, boxes: np.ndarray, counted: Mapping[str, Mapping[str, np.ndarray]]
) -> ImageTruth:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f"expected boxes [N, 4] for {name} in {folder / MAT_FILES['face']}, "
            f"got {boxes.shape}; download the file again"
        )
    wrong = (boxes[:, 2:] < _LEAST_SIZE).any(axis=1) | (abs(boxes) > _LARGEST).any(axis=1)
    if wrong.any():
        raise ValueError(
            f"expected boxes x, y, width, height, of a size of at least 0, for {name} in "
            f"{folder / MAT_FILES['face']}, got {boxes[int(wrong.argmax())].tolist()}; download "
            "the file again"
        )
    flags = {}
    for level in LEVELS:
        numbers = counted[level][name].ravel()
        if (numbers != numbers.round()).any() or (abs(numbers) > _LARGEST).any():
            raise ValueError(
                f"expected whole face numbers for {name} in {folder / MAT_FILES[level]}, got "
                "others; take all four files from one download"
            )
        index = numbers.astype(np.int64) - 1
        flags[level] = np.zeros(len(boxes), dtype=bool)
        if len(index) and (index.min() < 0 or index.max() >= len(boxes)):
            raise ValueError(
                f"expected face numbers from 1 to {len(boxes)} for {name} in "
                f"{folder / MAT_FILES[level]}, got {index.min() + 1} to {index.max() + 1}; "
                "take all four files from one download"
            )
        flags[level][index] = True
        if flags[level].sum() != len(index):
            raise ValueError(
                f"expected each face number once for {name} in {folder / MAT_FILES[level]}, "
                "got one twice; download the file again"
            )
    return ImageTruth(boxes.astype(np.float64), **flags)


def _split(name: str) -> tuple[str, str]:
    """Event and file stem of an image's name."""
    event, slash, file = name.partition("/")
    if not (event and slash) or "/" in file or not file.endswith(".jpg") or file == ".jpg":
        raise ValueError(
            f"expected an image name like event/file.jpg, got {name!r}; "
            "the .mat layout has room for one folder and no extension"
        )
    return event, file.removesuffix(".jpg")


def _numbers(flags: np.ndarray) -> np.ndarray:
    return np.flatnonzero(flags).astype(np.int32)[:, None] + 1


def _cells(values: list[Any]) -> np.ndarray:
    """A MATLAB cell column; filled one by one, because numpy would merge equal-shaped arrays."""
    column = np.empty((len(values), 1), dtype=object)
    for row, value in enumerate(values):
        column[row, 0] = value
    return column


def _save(path: Path, variables: Mapping[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, dict(variables))
    path.write_bytes(_MAT_HEADER + buffer.getvalue()[len(_MAT_HEADER) :])
