"""Callbacks: pictures of what the network finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger

from src.evaluation import detection_rows, draw_pr_curves, prediction_paths, write_predictions
from src.images.drawing import ORANGE, contact_sheet, draw_faces
from src.images.files import read_image, write_image
from src.training.logging import log_pictures
from src.training.tensorboard import add_pr_curves
from src.types import Batch


class Pictures(L.Callback):
    """Draws the first validation images, labels orange and detections green, and the
    precision-recall curves.

    Written to ``folder`` (overwritten at each validation) and sent to the loggers that show images;
    TensorBoard gets the points of the curves, too.

    Args:
        folder: where the two PNG files go.
        num_images: how many images.
        score_threshold: lowest score drawn; the metric's own threshold shows noise.
    """

    def __init__(self, folder: Path, num_images: int, *, score_threshold: float = 0.4) -> None:
        self.folder = folder
        self.num_images = num_images
        self.score_threshold = score_threshold
        self._drawn: list[np.ndarray] = []

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        for i, found in enumerate(outputs["detections"]):
            if len(self._drawn) == self.num_images:
                return
            image = np.ascontiguousarray(batch.images[i].permute(1, 2, 0).cpu().numpy())
            shown = found.scores >= self.score_threshold
            scale = batch.scales[i]
            labels = batch.targets.boxes[batch.targets.image_index == i].cpu().numpy()
            self._drawn.append(
                draw_faces(
                    draw_faces(image, labels, colour=ORANGE),
                    (found.boxes[shown] * scale.repeat(2)).cpu().numpy(),
                    scores=found.scores[shown].cpu().numpy(),
                    landmarks=(found.landmarks[shown] * scale).cpu().numpy(),
                )
            )

    on_test_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        drawn, self._drawn = self._drawn, []
        if not trainer.is_global_zero or trainer.sanity_checking or not drawn:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        sheet = contact_sheet(drawn, columns=min(4, len(drawn)), tile=480)
        write_image(self.folder / "predictions.png", sheet)
        curves = self.folder / "pr_curves.png"
        draw_pr_curves(pl_module.result, curves)
        pictures = {"predictions": sheet, "pr_curves": read_image(curves)}
        log_pictures(trainer.loggers, pictures, trainer.global_step)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                add_pr_curves(logger.experiment, pl_module.result, trainer.global_step)

    on_test_end = on_validation_end


class PredictionFiles(L.Callback):
    """Writes the detections of a test run as official per-image files, for other tools to score.

    Args:
        folder: where they go, ``<folder>/<event>/<image>.txt``.

    A run with images that would share a file ends with a ValueError as it begins.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        prediction_paths(self.folder, trainer.datamodule.names)  # type: ignore[attr-defined]

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        for name, found in zip(batch.names, outputs["detections"], strict=True):
            write_predictions(self.folder, name, detection_rows(found))
