"""Find faces in photographs and videos: ``python -m src.predict checkpoint=... source=...``.

Writes each picture with boxes, scores and landmarks drawn, ``sheet.png`` with several of them, and
``predictions.json``; ``--help`` lists the options.
"""

from __future__ import annotations

import logging
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig

from src import checkpoint
from src.cli import command
from src.detector import Detector
from src.images.drawing import contact_sheet, draw_faces
from src.images.files import find_sources, read_image
from src.images.video import VIDEO_SUFFIXES, VideoReader, VideoWriter
from src.report.progress import tracked
from src.runs.files import write_json
from src.runs.record import record
from src.types import Detections

log = logging.getLogger(__name__)

_SHOWN = 24
"""Pictures on the sheet, at most."""


def predict(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Detect faces in ``config.source``; returns the content of ``predictions.json``.

    A file that cannot be read is reported with an ``error`` and does not stop the others.

    Raises:
        ValueError: if none of the files can be read.
    """
    source = Path(config.source)
    files = find_sources(source)
    detector = Detector(
        checkpoint.load(config.checkpoint).model,
        decoder=instantiate(config.decoder),
        views=instantiate(config.views, _convert_="all"),
        long_side=config.long_side,
        device=config.device,
    )
    record(folder, config)
    entries = []
    pictures = []
    for file in tracked(files, "files", len(files), unit="file"):
        # The same name and format as the source: two files never share a drawing.
        drawn = folder / "drawn" / (file.relative_to(source) if source.is_dir() else file.name)
        drawn.parent.mkdir(parents=True, exist_ok=True)
        look = _predict_video if file.suffix.lower() in VIDEO_SUFFIXES else _predict_image
        try:
            entries.append({"file": str(file), **look(detector, file, drawn)})
            if look is _predict_image:
                pictures.append(drawn)
        except ValueError as error:
            if len(files) > 1:
                log.warning("left out: %s", error)
            entries.append({"file": str(file), "error": str(error)})
    results = {"checkpoint": config.checkpoint, "files": entries}
    write_json(folder / "predictions.json", results)
    errors = [entry["error"] for entry in entries if "error" in entry]
    if len(errors) == len(files):
        raise ValueError(errors[0] + (f" (and none of {len(files)} files)" if errors[1:] else ""))
    log.info(
        "%d faces in %d files%s; pictures in %s, numbers in %s", _num_faces(entries),
        len(files) - len(errors), f", {len(errors)} could not be read" if errors else "",
        folder / "drawn", folder / "predictions.json",
    )  # fmt: skip
    if len(pictures) > 1:
        # Spread over all files: those of a folder resemble each other.
        shown = pictures[:: math.ceil(len(pictures) / _SHOWN)]
        sheet = contact_sheet([read_image(file) for file in shown], columns=6)
        cv2.imwrite(str(folder / "sheet.png"), sheet)
        log.info("%d of the pictures on one sheet: %s", len(shown), folder / "sheet.png")
    return results


def _predict_image(detector: Detector, file: Path, drawn: Path) -> dict[str, Any]:
    image = read_image(file, upright=True)
    found = detector(image)
    if not cv2.imwrite(str(drawn), _draw(image, found)):
        raise OSError(f"expected to write a picture to {drawn}, but OpenCV cannot")
    return {**_size(image), "faces": _faces(found)}


def _predict_video(detector: Detector, file: Path, drawn: Path) -> dict[str, Any]:
    reader = VideoReader(file)
    frames_read = tracked(reader, file.name, reader.num_frames, unit="frame")
    frames: list[dict[str, Any]] = []
    with closing(VideoWriter(drawn, reader.rate)) as writer:
        for time, image in frames_read:
            found = detector(image)
            writer.write(_draw(image, found))
            frames.append({"frame": len(frames), "time": round(time, 4), "faces": _faces(found)})
    return {**_size(image), "fps": reader.rate, "frames": frames}


def _draw(image: np.ndarray, found: Detections) -> np.ndarray:
    boxes, scores, landmarks = (value.numpy() for value in found)
    return draw_faces(image, boxes, scores=scores, landmarks=landmarks)


def _size(image: np.ndarray) -> dict[str, int]:
    return {"width": image.shape[1], "height": image.shape[0]}


def _faces(found: Detections) -> list[dict[str, Any]]:
    """Plain numbers, pixels: box (x1, y1, x2, y2), score 0 to 1, five landmarks (x, y)."""
    rows = zip(*(value.double().numpy().round(4).tolist() for value in found), strict=True)
    return [{"box": box, "score": score, "landmarks": points} for box, score, points in rows]


def _num_faces(entries: list[dict[str, Any]]) -> int:
    """Faces of images; of videos, those of all frames."""
    return sum(len(e.get("faces", ())) + _num_faces(e.get("frames", [])) for e in entries)


main = command("predict", predict)


if __name__ == "__main__":
    main()
