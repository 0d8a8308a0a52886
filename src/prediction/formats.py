"""The files of a prediction: JSON, COCO, YOLO, CSV, and faces cut out."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from src.data.layouts.coco import KEYPOINTS, write_coco
from src.data.layouts.labels import VISIBLE, Label, LabelledImage
from src.data.layouts.yolo import Yolo, check_label_names, write_description, write_yolo
from src.images.files import write_image
from src.images.header import ImageSize
from src.prediction.journal import Entry
from src.runs.files import replacing, write_json

log = logging.getLogger(__name__)

Format = Literal["json", "coco", "yolo", "csv", "crops"]

Images = Sequence[tuple[str, Entry]]
"""Name of each image, below the folder that was looked through, and what was found in it."""


def check_formats(formats: Sequence[Format], names: Sequence[str]) -> None:
    """Refuse what could not be written, before anything is done.

    Raises:
        ValueError: two images would share a file.
    """
    if "yolo" in formats:
        check_label_names(names)


def write_formats(
    folder: Path, formats: Sequence[Format], facts: Mapping[str, Any], entries: Mapping[str, Entry]
) -> None:
    """Write what was found in all files.

    Args:
        folder: of the run.
        formats: asked for; ``crops`` are written as their images are looked at.
        facts: beside the entries in ``predictions.json``.
        entries: by name; those with an ``error`` stand in ``predictions.json`` only.
    """
    if "json" in formats:
        write_json(folder / "predictions.json", {**facts, "files": list(entries.values())})
    found = {name: entry for name, entry in entries.items() if "error" not in entry}
    if "csv" in formats:
        _write_csv(folder / "predictions.csv", found)
    images = [(name, entry) for name, entry in found.items() if "faces" in entry]
    writers: Mapping[str, Callable[[Path, Images], None]] = {"coco": _coco, "yolo": _yolo}
    for name, write in writers.items():
        if name in formats:
            write(folder, images)
            if len(images) < len(found):
                videos = len(found) - len(images)
                log.warning("left out of %s, which describes images: %d videos", name, videos)


def write_crops(folder: Path, image: np.ndarray, boxes: np.ndarray) -> None:
    """Cut faces out of an image, best first, to ``000.png`` and so on.

    Args:
        folder: made if there is a face.
        image: [H, W, 3] uint8, BGR.
        boxes: [K, 4], pixels; what reaches over the border is cut off.
    """
    height, width = image.shape[:2]
    low = np.floor(boxes[:, :2]).clip(0, (width, height)).astype(int)
    high = np.ceil(boxes[:, 2:]).clip(0, (width, height)).astype(int)
    for number, ((x1, y1), (x2, y2)) in enumerate(zip(low, high, strict=True)):
        if x1 < x2 and y1 < y2:
            folder.mkdir(parents=True, exist_ok=True)
            write_image(folder / f"{number:03}.png", image[y1:y2, x1:x2])


def _coco(folder: Path, images: Images) -> None:
    labelled = [_labelled(name, entry) for name, entry in images]
    scores = [[face["score"] for face in entry["faces"]] for _, entry in images]
    write_coco(folder / "coco.json", labelled, scores)


def _yolo(folder: Path, images: Images) -> None:
    fitted = []
    for name, entry in images:
        image = _labelled(name, entry)
        faces = [Yolo().fit(face, _size(entry)) for face in image.faces]
        fitted.append(image._replace(faces=[face for face in faces if face is not None]))
    write_yolo(folder / "yolo" / "labels", fitted, pose=True)
    write_description(folder / "yolo", {}, pose=True)
    log.info("YOLO labels have no room for scores, and end at the border of their image")


def _labelled(name: str, entry: Entry) -> LabelledImage:
    faces = []
    for face in entry["faces"]:
        x1, y1, x2, y2 = face["box"]
        points = tuple((x, y, VISIBLE) for x, y in face["landmarks"])
        faces.append(Label((x1, y1, x2 - x1, y2 - y1), points))
    return LabelledImage(name, faces, Path(entry["file"]), size=_size(entry))


def _size(entry: Entry) -> ImageSize:
    return ImageSize(entry["height"], entry["width"])


def _write_csv(file: Path, entries: Mapping[str, Entry]) -> None:
    points = [f"{name}_{axis}" for name in KEYPOINTS for axis in "xy"]
    with (
        replacing(file) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        table = csv.writer(stream)
        table.writerow(["file", "frame", "time", "x1", "y1", "x2", "y2", "score", *points])
        for name, entry in entries.items():
            for frame in entry.get("frames", [entry]):
                place = [name, frame.get("frame", ""), frame.get("time", "")]
                table.writerows([*place, *row] for row in _rows(frame))


def _rows(frame: Entry) -> Iterator[list[float]]:
    for face in frame["faces"]:
        yield [*face["box"], face["score"], *(value for xy in face["landmarks"] for value in xy)]
