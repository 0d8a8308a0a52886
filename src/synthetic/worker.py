"""Draw one image, write its file and keep its labels: the work that is spread over processes.

The workers import this file and what it imports, so nothing here may bring torch or scipy: every
process would take seconds to start.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from src.synthetic.scene import SCENES, Scene, draw_scene

# 24 images hold the share of every kind of scene; the eighth is the first without a face.
# Letters are the first of a scene's name.
_TRAIN_SCHEDULE = "CGSPSGCEPSGSPGGSPGSCPSGP"
_VAL_SCHEDULE = _TRAIN_SCHEDULE.replace("E", "P")


class Labels(NamedTuple):
    """What is kept of an image once its file is written."""

    name: str
    """``event/file.jpg``."""
    rows: list[str]
    """One line of 20 numbers per face, as in ``label.txt``."""
    boxes_xywh: np.ndarray
    """[N, 4] float64, pixels; the numbers of ``rows``."""
    difficulty: np.ndarray
    """[N] int: 0 easy, 1 medium, 2 hard, 3 none of them."""


def image_name(split: str, index: int) -> str:
    """``event/file.jpg`` of image ``index`` of ``train`` or ``val``; the event is its scene."""
    kind = _kind(split, index)
    event = SCENES.index(kind)
    return f"{event}--{kind}/{event}_{kind}_synthetic_{int(split == 'val')}_{index}.jpg"


def write_image(root: str, seed: int, size: int, job: tuple[str, int]) -> Labels:
    """Draw one image and write it to ``root/split/images``; runs in the worker processes.

    Args:
        root: the data set's folder, in which the event's folder exists.
        seed: of the data set.
        size: longest side, pixels.
        job: split (``train`` or ``val``) and number of the image.

    Returns:
        The labels, whose numbers are rounded as they are written.
    """
    split, index = job
    kind = _kind(split, index)
    for attempt in range(50):  # an image of people shows at least one face that counts
        rng = np.random.default_rng((seed, int(split == "val"), index, attempt))
        scene = draw_scene(rng, kind, size)
        if kind == "Empty" or (scene.difficulty <= 2).any():
            break
    quality = int(rng.integers(45, 96))
    _, data = cv2.imencode(".jpg", scene.image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    name = image_name(split, index)
    (Path(root) / split / "images" / name).write_bytes(data.tobytes())
    return Labels(name, _rows(scene), scene.boxes_xywh, scene.difficulty)


def start_worker() -> None:
    """Prepare a worker process."""
    cv2.setNumThreads(1)  # the processes are the parallelism
    parent = multiprocessing.parent_process()
    if parent is not None:  # a killed generation must not leave its workers waiting for ever
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _kind(split: str, index: int) -> str:
    schedule = _TRAIN_SCHEDULE if split == "train" else _VAL_SCHEDULE
    letter = schedule[index % len(schedule)]
    return next(kind for kind in SCENES if kind.startswith(letter))


def _rows(scene: Scene) -> list[str]:
    rows = []
    for box, marks, has, invalid in zip(
        scene.boxes_xywh, scene.landmarks, scene.has_landmarks, scene.invalid, strict=True
    ):
        points = [f"{x:.2f} {y:.2f} 0.0" for x, y in marks] if has else ["-1.0 -1.0 -1.0"] * 5
        numbers = [f"{value:.2f}" for value in box]
        rows.append(" ".join([*numbers, *points, "0.0" if invalid else "1.0"]))
    return rows
