"""Keeps what a test run finds, for a score that needs all of it at the end."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import torch

from src.evaluation import detection_rows
from src.types import Batch


class BestDetections(L.Callback):
    """The best detections of each image.

    Args:
        count: of an image, at most; None: all.
        lowest: score that they have at least.

    ``rows`` has them by the name of the image, [K, 5] (x, y, w, h, score), of all processes.
    """

    def __init__(self, count: int | None, *, lowest: float = 0.0) -> None:
        self.count = count
        self.lowest = lowest
        self.rows: dict[str, np.ndarray] = {}

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
            rows = detection_rows(found)[: self.count]  # best first
            self.rows[name] = rows[rows[:, 4] >= self.lowest]

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, self.rows)
            self.rows = {name: rows for part in parts for name, rows in part.items()}
