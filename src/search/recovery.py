"""A short training of a pruned network, and what it is worth: one trial of a search."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from src import checkpoint
from src.detection.objective import DetectionObjective
from src.models import FaceDetector
from src.search.job import Watcher
from src.types import Batch


@torch.no_grad()
def held_out_loss(
    model: FaceDetector, objective: DetectionObjective, batches: Iterable[Batch]
) -> float:
    """The task loss of a network in evaluation mode, averaged over the images of some batches.

    Raises:
        FloatingPointError: it is not finite; names the images.
    """
    training, device = model.training, model.mean.device
    model.eval()
    total, images = 0.0, 0
    for batch in batches:
        batch = batch._replace(
            images=batch.images.to(device),
            targets=type(batch.targets)(*(values.to(device) for values in batch.targets)),
        )
        _, terms = objective(model, batch)
        loss = float(terms.total)
        if not torch.isfinite(terms.total):
            raise FloatingPointError(
                f"expected a finite loss on the images set aside, got {loss} on "
                f"{', '.join(batch.names)}; lower optimizer.lr or lengthen recovery.steps"
            )
        total += loss * len(batch.names)
        images += len(batch.names)
    model.train(training)
    return total / images


class Reports(L.Callback):
    """Tells a watcher the loss on the images set aside, at the end of every part of a recovery.

    Attributes:
        hopeless: whether the watcher gave the trial up.
    """

    def __init__(self, watcher: Watcher, objective: DetectionObjective) -> None:
        self.watcher = watcher
        self.objective = objective
        self.hopeless = False

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step >= trainer.max_steps:  # the end is measured by itself
            return
        images = trainer.datamodule.held_out_dataloader()  # type: ignore[attr-defined]
        model: Any = pl_module.model
        loss = held_out_loss(model, self.objective, images)
        self.hopeless = self.watcher.report(loss, trainer.global_step)
        trainer.should_stop = self.hopeless


def recover(
    module: L.LightningModule, datamodule: L.LightningDataModule, trainer: L.Trainer, last: Path
) -> None:
    """Train for the steps of ``trainer``; go on from ``last`` where a killed trial left it.

    Afterwards the module has the weights on disk: the averaged ones where there are such.
    """
    trainer.fit(module, datamodule, ckpt_path=last if last.exists() else None, weights_only=True)
    module.load_state_dict(checkpoint.read(last)["state_dict"])


def keep_last(last: Path) -> ModelCheckpoint:
    """The callback that writes ``last`` at the end of every part."""
    return ModelCheckpoint(
        last.parent, filename=last.stem, save_on_train_epoch_end=True, enable_version_counter=False
    )
