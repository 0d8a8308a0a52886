"""How far a training or an evaluation is, for people who wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning as L

from src.report.progress import Meter
from src.types import Batch


class Progress(L.Callback):
    """Step of all, epoch, loss, images per second and the time left of the whole run.

    A bar on a terminal; elsewhere a line of the log at least every 30 seconds.

    Args:
        clock: seconds, from anywhere; tests replace it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._training: Meter | None = None
        self._evaluation: Meter | None = None
        self._images = 0
        self._seen = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            total = trainer.estimated_stepping_batches
            self._training = Meter("training", total, "step", done=trainer.global_step,
                                   clock=self.clock)  # fmt: skip
            self._images = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch,
        batch_idx: int,
    ) -> None:  # fmt: skip
        self._images += len(batch.names) * trainer.world_size
        if (meter := self._training) is not None:
            meter.update(trainer.global_step, lambda: self._details(trainer, meter))

    def _details(self, trainer: L.Trainer, meter: Meter) -> str:
        epochs = trainer.max_epochs or -1
        of = f" of {epochs}" if epochs > 0 else ""
        loss = trainer.callback_metrics.get("train/loss")
        shown = "" if loss is None else f", loss {float(loss):.4g}"
        return (
            f"epoch {trainer.current_epoch + 1}{of}{shown}, {meter.rate(self._images):.3g} images/s"
        )

    def on_train_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: Any = None
    ) -> None:
        for meter in (self._evaluation, self._training):
            if meter is not None:
                meter.close()
        self._training = self._evaluation = None

    on_exception = on_train_end

    # Validation and test

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin(trainer, "validation", trainer.num_val_batches, trainer.val_dataloaders)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin(trainer, "evaluation", trainer.num_test_batches, trainer.test_dataloaders)

    def _begin(self, trainer: L.Trainer, what: str, batches: Any, loader: Any) -> None:
        self._seen = 0
        if trainer.is_global_zero and not trainer.sanity_checking:
            total = min(len(loader.dataset), sum(map(int, batches)) * (loader.batch_size or 1))
            self._evaluation = Meter(what, total, "image", clock=self.clock)

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        self._seen += len(batch.names)
        if (meter := self._evaluation) is not None:
            meter.update(self._seen, lambda: f"{meter.rate(self._seen):.3g} images/s")

    on_test_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._evaluation is not None:
            self._evaluation.close()
            self._evaluation = None

    on_test_end = on_validation_end
