"""The Lightning module that measures a detector; training modules add to it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch

from src import checkpoint
from src.cli.targets import instantiate
from src.detection.decoding import Decoder
from src.detection.inference import Views, detect
from src.evaluation import WiderAP, WiderResult
from src.models import FaceDetector
from src.training.trainer import build_trainer
from src.types import Batch, Detections

log = logging.getLogger(__name__)


class EvaluatorModule(L.LightningModule):
    """Finds faces in the images of the data module and scores them by the WIDER FACE protocol.

    Args:
        model: the network.
        decoder: thresholds.
        views: test-time augmentation.

    The data module of the trainer must give ``truth()``, the ground truth of its evaluated images.
    ``result`` holds the last evaluation.
    """

    def __init__(self, model: FaceDetector, *, decoder: Decoder, views: Views) -> None:
        super().__init__()
        self.model = model
        self.decoder = decoder
        self.views = views
        self.metric: WiderAP | None = None
        self.result: WiderResult | None = None
        self.evaluated_step = -1

    def setup(self, stage: str) -> None:
        unused = stage == "fit" and not self.trainer.limit_val_batches
        if self.metric is None and not unused:
            self.metric = WiderAP(self.trainer.datamodule.truth())  # type: ignore[attr-defined]

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Detections]]:
        assert self.metric is not None  # made in setup
        found = detect(self.model, self.decoder, batch.images, batch.scales, self.views)
        self.metric.update(batch.names, found)
        return {"detections": found}

    test_step = validation_step

    def on_validation_epoch_start(self) -> None:
        """All processes evaluate one network: batch statistics are those of the first process."""
        if self.trainer.world_size > 1:
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking:  # of a few images nothing is kept
            assert self.metric is not None
            self.metric.reset()
        else:
            self._log_result("val")

    def on_test_epoch_end(self) -> None:
        self._log_result("test")

    def _log_result(self, stage: str) -> None:
        assert self.metric is not None
        self.result = self.metric.compute()
        self.metric.reset()
        self.evaluated_step = self.global_step
        if stage == "val":
            shown = by_level(self.result.metrics)
            log.info("epoch %d, step %d: AP %s", self.current_epoch, self.global_step, shown)
        # Every rank computes the same value from all ranks' detections: nothing left to reduce.
        # Each logs it, too: the callback that keeps the best asks every rank.
        self.log_dict({f"{stage}/{name}": value for name, value in self.result.metrics.items()})
        if self.trainer.state.fn == "validate":  # after the training: Lightning counts one more
            self.log("step", float(max(0, self.global_step - 1)))
            self.log("epoch", float(max(0, self.current_epoch - 1)))
        self.log(f"{stage}_ap", self.result.metrics["ap"], prog_bar=True, logger=False)


def by_level(metrics: Mapping[str, float]) -> str:
    """AP in per cent, for the log."""
    levels = ("easy", "medium", "hard")
    return "  ".join(f"{level} {100 * metrics[f'ap_{level}']:.2f}" for level in levels)


def save_and_score(
    file: Path, model: FaceDetector, datamodule: L.LightningDataModule, config: Any, **facts: Any
) -> dict[str, float]:
    """Write a checkpoint of a network that was changed, measure it and write it again with its AP.

    Args:
        file: of the checkpoint; it is there before anything is measured, which may fail.
        model: the network.
        datamodule: of the validation images.
        config: of a command: ``measure_ap``, ``decoder``, ``views`` and ``trainer``.
        facts: for the checkpoint.

    Returns:
        The metrics; none without ``measure_ap``.
    """
    checkpoint.save(file, model, metrics={}, **facts)
    if not config.measure_ap:
        return {}
    result = score(
        model, datamodule, decoder=instantiate(config.decoder),
        views=instantiate(config.views, _convert_="all"), trainer=config.trainer,
    )  # fmt: skip
    checkpoint.save(file, model, metrics=dict(result.metrics), **facts)
    return dict(result.metrics)


def protocol(config: Any) -> dict[str, Any]:
    """The settings beside the weights that decide the AP of a network, for a table row.

    ``long_side`` is in pixels, null at the images' original size; ``scales`` are factors on it.
    """
    decoder, views = config.decoder, config.views
    return {
        "long_side": config.data.val_long_side,
        "score_threshold": decoder.score_threshold,
        "nms_iou": decoder.nms_iou,
        "top_k": decoder.top_k,
        "scales": list(views.scales),
        "flip": views.flip,
        "precision": config.trainer.precision,
    }


def score(
    model: FaceDetector,
    datamodule: L.LightningDataModule,
    *,
    decoder: Decoder,
    views: Views,
    trainer: Any,
    callbacks: Sequence[L.Callback] = (),
) -> WiderResult:
    """The result of a network on the validation images.

    Args:
        model: the network.
        datamodule: of the images, with ``truth()``.
        decoder, views: see :class:`EvaluatorModule`.
        trainer: settings of a ``lightning.Trainer``, with ``_target_``.
        callbacks: of that trainer.
    """
    module = EvaluatorModule(model, decoder=decoder, views=views)
    build_trainer(trainer, callbacks).test(module, datamodule, verbose=False)
    assert module.result is not None  # test_epoch_end has run
    return module.result
