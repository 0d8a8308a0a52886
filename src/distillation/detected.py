"""What a teacher finds in images, computed once and kept in a file."""

from __future__ import annotations

import logging
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from src.detection.decoding import Decoder
from src.detection.inference import Views, detect
from src.distillation.teacher import Teacher
from src.images.files import read_image
from src.report.progress import Meter
from src.runs.files import replacing
from src.types import NUM_LANDMARKS, Detections

SAVE_EVERY = 60.0
"""Seconds of work that a killed process loses at most."""
MAX_PIXELS = 2**24
"""An image at a scale has at most so many; larger ones are left out, but for the first scale."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DetectedFaces:
    """A teacher's detections in images, in a file that grows.

    An image is known again by its name and the size of its file, so other lists of images of the
    same data share what they have in common. A killed process loses a minute of work.

    Args:
        file: of this teacher and these settings, ``.npz``.
        scales: of the images that the teacher sees; the original is 1.
        score_threshold: lowest score kept.
        nms_iou: overlap above which the worse of two boxes goes, of all scales together.
    """

    file: Path
    scales: Sequence[float]
    score_threshold: float = 0.05
    nms_iou: float = 0.4

    def find(
        self, teacher: Teacher, images: Mapping[str, Path], device: torch.device
    ) -> dict[str, Detections]:
        """Name -> detections in original pixels, boxes within the image; new ones are written.

        Args:
            teacher: whose detections the file holds.
            images: name -> file.
            device: where the teacher runs.
        """
        known, keys = self._read(), {name: _key(name, path) for name, path in images.items()}
        missing = [name for name in images if keys[name] not in known]
        if missing:
            log.info(
                "looking for faces with %s at %s times the size; kept in %s",
                teacher.name, ", ".join(f"{scale:g}" for scale in self.scales), self.file,
            )  # fmt: skip
            before = len(images) - len(missing)
            meter, saved = Meter("teacher", len(images), "image", done=before), time.monotonic()
            try:
                for done, name in enumerate(missing, before + 1):
                    known[keys[name]] = self._look(teacher, images[name], device)
                    meter.update(done)
                    if time.monotonic() - saved > SAVE_EVERY:
                        self._write(known)
                        saved = time.monotonic()
            finally:
                meter.close()
                self._write(known)
        return {name: _detections(known[key]) for name, key in keys.items()}

    def _look(self, teacher: Teacher, path: Path, device: torch.device) -> np.ndarray:
        image = read_image(path)
        height, width = image.shape[:2]
        first, *others = self.scales
        fitting = [scale for scale in others if height * width * scale**2 <= MAX_PIXELS]
        (found,) = detect(
            teacher,
            Decoder(score_threshold=self.score_threshold, nms_iou=self.nms_iou),
            torch.from_numpy(image).permute(2, 0, 1)[None].to(device),
            torch.ones(1, 2, device=device),
            Views((first, *fitting)),
        )
        corner = found.boxes.new_tensor([width, height, width, height])
        boxes = found.boxes.clamp(min=0).minimum(corner)
        whole = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        rows = torch.cat([boxes, found.scores[:, None], found.landmarks.flatten(1)], dim=1)
        return rows[whole].cpu().numpy().astype(np.float32)

    def _read(self) -> dict[str, np.ndarray]:
        """Key -> rows (box, score, landmarks) of the images that are known."""
        if not self.file.is_file():
            return {}
        try:
            with np.load(self.file, allow_pickle=False) as content:
                ends = np.cumsum(content["counts"])[:-1]
                rows = np.split(content["rows"], ends)
                return dict(zip(content["keys"].tolist(), rows, strict=True))
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
            log.warning("%s cannot be read (%s) and is made again", self.file, error)
            return {}

    def _write(self, known: Mapping[str, np.ndarray]) -> None:
        if known:
            with replacing(self.file) as partial, partial.open("wb") as stream:
                np.savez(
                    stream,
                    keys=np.array(list(known)),
                    counts=np.array([len(rows) for rows in known.values()]),
                    rows=np.concatenate(list(known.values())),
                )


def _key(name: str, path: Path) -> str:
    return f"{name} {path.stat().st_size}"


def _detections(rows: np.ndarray) -> Detections:
    values = torch.from_numpy(np.ascontiguousarray(rows))
    landmarks = values[:, 5:].reshape(-1, NUM_LANDMARKS, 2)
    return Detections(values[:, :4], values[:, 4], landmarks)
