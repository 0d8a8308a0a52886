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
_EXPECTED = "five finite numbers 'x y w h score', a size of at least 0 and a score from 0 to 1"


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
        ValueError: if the array is not [K, 5], holds a value that is not finite, a negative size or
            a score outside [0, 1].
    """
    check_rows(name, detections_xywh_score)
    good = _are_detections(detections_xywh_score)
    if not good.all():
        first = int(np.flatnonzero(~good)[0])
        raise ValueError(
            f"expected a size of at least 0 and a score from 0 to 1 for {name}, got "
            f"{detections_xywh_score[first].tolist()} as detection {first}; pass x, y, width, "
            "height and a probability"
        )
    path = prediction_path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{x:.4f} {y:.4f} {w:.4f} {h:.4f} {score:.9g}"
        for x, y, w, h, score in detections_xywh_score.tolist()
    ]
    text = "\n".join([path.stem, str(len(rows)), *rows, ""])
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
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
    # Names of files may be no UTF-8.
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    lines = text.rstrip().split("\n")
    # By ASCII spaces alone: others are no part of the layout.
    rows = [line.split() if line.isascii() else [line] for line in lines[_FIRST_BOX_LINE - 1 :]]
    title = lines[0].strip().rsplit("/", maxsplit=1)[-1]
    count = lines[1].strip() if len(lines) > 1 else ""
    if title != path.stem and not title.startswith(path.stem + "."):
        problem = 1, f"the image name {path.stem!r}", repr(lines[0])
    elif not (count.isascii() and count.isdecimal() and len(count) < 10):
        problem = 2, "the number of detections", repr(count)
    elif int(count) != len(rows):
        problem = 2, f"the number of lines that follow ({len(rows)})", count
    else:
        # One pass in C; the rows are looked at one by one only to say which of them is wrong.
        with suppress(ValueError):
            table = np.array(rows, dtype=np.float64).reshape(len(rows), 5)
            if _are_detections(table).all() and "_" not in text.partition("\n")[2]:
                return table
        problem = next(
            (line, _EXPECTED, repr(" ".join(row)))
            for line, row in enumerate(rows, start=_FIRST_BOX_LINE)
            if not _is_detection(row)
        )
    line, expected, got = problem
    raise ValueError(
        f"{path}, line {line}: expected {expected}, got {got}; "
        "write the file again with src.evaluation.write_predictions"
    )


def _is_detection(words: Sequence[str]) -> bool:
    # Python takes 1_0 for ten.
    if len(words) != 5 or any("_" in word or not word.isascii() for word in words):
        return False
    try:
        return bool(_are_detections(np.array([words], dtype=np.float64))[0])
    except ValueError:
        return False


def _are_detections(rows: np.ndarray) -> np.ndarray:
    """Which rows [K, 5] are finite, with a size of at least 0 and a score from 0 to 1."""
    sizes, scores = rows[:, 2:4], rows[:, 4]
    finite = np.isfinite(rows).all(axis=1)
    return finite & (sizes >= 0).all(axis=1) & (scores >= 0) & (scores <= 1)
