"""Find faces in photographs and videos: ``python -m src.predict checkpoint=... source=...``.

Writes each picture with boxes, scores and landmarks drawn, and ``predictions.json``; ``--help``
lists the options.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import hydra
import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from src import checkpoint
from src.detector import Detector
from src.drawing import draw_faces
from src.entry import one_sentence, record, run_folder, write_json
from src.types import Detections

log = logging.getLogger(__name__)

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"}


def predict(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Detect faces in ``config.source``; returns the content of ``predictions.json``."""
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
    for file in tqdm(files, unit="file", disable=not sys.stderr.isatty()):
        drawn = folder / "drawn" / (file.relative_to(source) if source.is_dir() else file.name)
        drawn.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix.lower() in VIDEOS:
            entries.append(_predict_video(detector, file, drawn.with_suffix(".mp4")))
        else:
            entries.append(_predict_image(detector, file, drawn.with_suffix(".png")))
    results = {"checkpoint": config.checkpoint, "files": entries}
    write_json(folder / "predictions.json", results)
    log.info("%d faces in %d files; run folder: %s", _num_faces(entries), len(files), folder)
    return results


def find_sources(source: Path) -> list[Path]:
    """The images and videos that ``source`` names: itself, or all below it if it is a folder.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: not an image or video, or a folder without any.
    """
    known = IMAGES | VIDEOS
    if source.is_dir():
        files = sorted(f for f in source.rglob("*") if f.suffix.lower() in known)
        if not files:
            raise ValueError(
                f"expected images or videos in {source}, found none of {sorted(known)}"
            )
        return files
    if not source.exists():
        raise FileNotFoundError(
            f"expected an image, a video or a folder at source={source}, found nothing"
        )
    if source.suffix.lower() not in known:
        raise ValueError(f"expected an image or video ({_listed(known)}), got {source}")
    return [source]


def _listed(suffixes: set[str]) -> str:
    return ", ".join(sorted(suffixes))


def _predict_image(detector: Detector, file: Path, drawn: Path) -> dict[str, Any]:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"expected an image that OpenCV can read, got a damaged or empty {file}")
    found = detector(image)
    cv2.imwrite(str(drawn), _draw(image, found))
    height, width = image.shape[:2]
    return {"file": str(file), "width": width, "height": height, "faces": _faces(found)}


def _predict_video(detector: Detector, file: Path, drawn: Path) -> dict[str, Any]:
    video = cv2.VideoCapture(str(file))
    rate = video.get(cv2.CAP_PROP_FPS) or 25.0
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    writer: cv2.VideoWriter | None = None
    frames: list[dict[str, Any]] = []
    for image in tqdm(_frames(video), total=count, unit="frame", disable=not sys.stderr.isatty()):
        found = detector(image)
        if writer is None:
            height, width = image.shape[:2]
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            writer = cv2.VideoWriter(str(drawn), codec, rate, (width, height))
        writer.write(_draw(image, found))
        frames.append({"frame": len(frames), "time": len(frames) / rate, "faces": _faces(found)})
    video.release()
    if writer is None:
        raise ValueError(f"expected a video that OpenCV can read, got no frame from {file}")
    writer.release()
    return {"file": str(file), "width": width, "height": height, "fps": rate, "frames": frames}


def _frames(video: cv2.VideoCapture) -> Iterator[np.ndarray]:
    while True:
        there, image = video.read()
        if not there:
            return
        yield image


def _draw(image: np.ndarray, found: Detections) -> np.ndarray:
    boxes, scores, landmarks = (value.numpy() for value in found)
    return draw_faces(image, boxes, scores=scores, landmarks=landmarks)


def _faces(found: Detections) -> list[dict[str, Any]]:
    """Plain numbers, pixels: box (x1, y1, x2, y2), score 0 to 1, five landmarks (x, y)."""
    rows = zip(*(value.double().numpy().round(4).tolist() for value in found), strict=True)
    return [{"box": box, "score": score, "landmarks": points} for box, score, points in rows]


def _num_faces(entries: list[dict[str, Any]]) -> int:
    return sum(len(e["faces"]) if "faces" in e else _num_faces(e["frames"]) for e in entries)


@hydra.main(version_base="1.3", config_path="../conf", config_name="predict")
@one_sentence
def main(config: DictConfig) -> None:
    predict(config, run_folder())


if __name__ == "__main__":
    main()
