"""The text files in which WIDER FACE detections are exchanged: one per image, grouped by event.

``<folder>/<event>/<file stem>.txt``: the image's name, the number of detections, then one
``x y w h score`` per line. Source: the submission format of the WIDER FACE benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

import numpy as np

from src.types import Detections

_FIRST_BOX_LINE = 3
_NAMES_SHOWN = 3


def read_predictions(folder: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read the detections of some images; files of other images are left alone.

    Args:
        folder: holds one folder per event.
        names: ``event/file.jpg`` of each image.

    Returns:
        name -> [K, 5] float64 (x, y, w, h, score), pixels. The order of the lines is kept, for
        the protocol depends on it (see ``wider_ap``).

    Raises:
        FileNotFoundError: if any image has no file.
        ValueError: if a line is malformed (names file and line), or two images share a file.
    """
    paths = prediction_paths(folder, names)
    missing = [str(path) for path in paths.values() if not path.is_file()]
    if missing:
        shown = ", ".join(missing[:_NAMES_SHOWN]) + (", ..." if len(missing) > _NAMES_SHOWN else "")
        raise FileNotFoundError(
            f"expected one prediction file for each of {len(paths)} images, got none for "
            f"{len(missing)} ({shown}); predict those images too (no face found is a file with "
            "a count of 0) or evaluate fewer images"
        )
    return {name: _parse(path) for name, path in paths.items()}


def write_predictions(folder: Path, name: str, detections_xywh_score: np.ndarray) -> Path:
    """Write the detections of one image, in the order given.

    Args:
        folder: created if missing.
        name: ``event/file.jpg``.
        detections_xywh_score: [K, 5] x, y, w, h in pixels, and score.

    Returns:
        The file written. Boxes keep 4 decimals, scores the 9 digits that restore a float32.

    Raises:
        ValueError: if the array is not [K, 5] or holds a value that is not finite.
    """
    check_rows(name, detections_xywh_score)
    path = prediction_path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{x:.4f} {y:.4f} {w:.4f} {h:.4f} {score:.9g}"
        for x, y, w, h, score in detections_xywh_score.tolist()
    ]
    path.write_text("\n".join([path.stem, str(len(rows)), *rows, ""]), encoding="utf-8")
    return path


def prediction_path(folder: Path, name: str) -> Path:
    """Where the detections of the image ``event/file.jpg`` lie.

    Raises:
        ValueError: the name leads out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ValueError(
            f"expected the name of an image inside its folder, got {name!r}; correct the labels"
        )
    return folder / path.with_suffix(".txt")


def prediction_paths(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Name of each image -> its file.

    Raises:
        ValueError: two images share a file, because their names differ in the ending only.
    """
    owners: dict[Path, str] = {}
    for name in names:
        path = prediction_path(folder, name)
        if owners.setdefault(path, name) != name:
            raise ValueError(
                f"expected a prediction file of its own for each image, got {owners[path]} and "
                f"{name}, which share {path}; rename one of the images"
            )
    return {name: path for path, name in owners.items()}


def detection_rows(detections: Detections) -> np.ndarray:
    """[K, 5] float64 (x, y, w, h, score) of detections on any device, in their order."""
    boxes = detections.boxes.detach().cpu().double().numpy()
    scores = detections.scores.detach().cpu().double().numpy()
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2], scores[:, None]], axis=1)


def check_rows(name: str, rows: np.ndarray) -> None:
    """Refuse an array that is not [K, 5] or not finite, naming the image it belongs to."""
    if rows.ndim != 2 or rows.shape[1] != 5:
        raise ValueError(
            f"expected detections [K, 5] (x, y, w, h, score) for {name}, got {rows.shape}; "
            "pass an array of shape [0, 5] where nothing was found"
        )
    finite = np.isfinite(rows)
    if not finite.all():
        first = int(np.flatnonzero(~finite.all(axis=1))[0])
        raise ValueError(
            f"expected finite boxes and scores for {name}, got {rows[first].tolist()} as "
            f"detection {first}; look for a diverged model or an overflow in its decoding"
        )


def _parse(path: Path) -> np.ndarray:
    lines = path.read_text(encoding="utf-8").rstrip().split("\n")
    rows = [line.split() for line in lines[_FIRST_BOX_LINE - 1 :]]
    title = lines[0].strip().rsplit("/", maxsplit=1)[-1]
    count = lines[1].strip() if len(lines) > 1 else ""
    if title != path.stem and not title.startswith(path.stem + "."):
        problem = 1, f"the image name {path.stem!r}", repr(lines[0])
    elif not count.isdecimal():
        problem = 2, "the number of detections", repr(count)
    elif int(count) != len(rows):
        problem = 2, f"the number of lines that follow ({len(rows)})", count
    else:
        # One pass in C; the rows are looked at one by one only to say which of them is wrong.
        with suppress(ValueError):
            table = np.array(rows, dtype=np.float64).reshape(len(rows), 5)
            if np.isfinite(table).all():
                return table
        problem = next(
            (line, "five finite numbers 'x y w h score'", repr(" ".join(row)))
            for line, row in enumerate(rows, start=_FIRST_BOX_LINE)
            if len(row) != 5 or not all(_is_finite(word) for word in row)
        )
    line, expected, got = problem
    raise ValueError(
        f"{path}, line {line}: expected {expected}, got {got}; "
        "write the file again with src.evaluation.write_predictions"
    )


def _is_finite(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False
