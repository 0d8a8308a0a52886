"""The Lightning module of any detector with any objective: baseline, fine-tune, a new teacher."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from src import checkpoint
from src.detection.decoding import Decoder
from src.detection.inference import Views
from src.detection.objective import DetectionObjective
from src.distillation import CellDistillation, DistillationObjective
from src.models import FaceDetector
from src.training.evaluator import EvaluatorModule
from src.training.position import Position, settle
from src.training.teachers import MeasuredTeacher
from src.types import Batch, Detections, LossTerms

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LearningRateScaling:
    """How the learning rate follows the batch size.

    Args:
        reference_batch: images per optimizer step the configured rate was chosen for.
        rule: ``linear`` (Goyal et al. 2017), ``sqrt`` or ``none``.
    """

    reference_batch: int = 32
    rule: str = "linear"

    POWERS = {"linear": 1.0, "sqrt": 0.5, "none": 0.0}  # noqa: RUF012 - not a field

    def __post_init__(self) -> None:
        if self.rule not in self.POWERS:
            raise ValueError(
                f"expected a scaling rule of {', '.join(self.POWERS)}; got {self.rule!r}; "
                "set scaling.rule"
            )
        if self.reference_batch < 1:
            raise ValueError(
                f"expected a reference batch of at least 1 image, got {self.reference_batch}; "
                "set scaling.reference_batch"
            )

    def factor(self, batch: int) -> float:
        """What the configured rate is multiplied by when a step sees ``batch`` images."""
        return (batch / self.reference_batch) ** self.POWERS[self.rule]


_BEFORE = {"optimizer": {"decay_norms": True}}
"""Settings of checkpoints that were written before there was a choice."""

Objective = DetectionObjective | DistillationObjective | CellDistillation
"""What is minimised, or anything with their ``forward``, ``parameter_groups`` and ``settings``."""


class DetectorModule(EvaluatorModule):
    """Trains a detector, and evaluates it as it goes.

    Args:
        model: the network.
        objective: what is minimised.
        decoder: thresholds of validation and test.
        views: test-time augmentation of validation and test.
        optimizer: ``parameters -> Optimizer``.
        schedule: ``(optimizer, steps_per_epoch, total_steps) -> LRScheduler``; see
            :mod:`src.training.schedules`.
        scaling: how the learning rate follows the batch size.
        decay_norms: weight decay of all parameters; False: of kernels alone, not of norms, biases
            and fusion weights (Jia et al., arXiv 1807.11205, section 3.2; He et al., CVPR 2019,
            section 3.1).

    ``monitored`` is the metric by which the best checkpoint is chosen. ``teacher`` is None unless a
    derived module has one: it is measured on the same images, once. ``has_trained`` tells whether a
    step of this process went well.

    The data module of the trainer must give ``batch_size`` and ``resume_at(epoch, batch)`` besides
    what evaluation asks of it.
    """

    monitored = "val/ap"

    def __init__(
        self,
        model: FaceDetector,
        objective: Objective,
        *,
        decoder: Decoder,
        views: Views,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[..., LRScheduler],
        scaling: LearningRateScaling,
        decay_norms: bool = True,
    ) -> None:
        super().__init__(model, decoder=decoder, views=views)
        self.objective = objective
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.scaling = scaling
        self.decay_norms = decay_norms
        self.teacher: MeasuredTeacher | None = None
        self.has_trained = False
        self._resumed_at: Position | None = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        _, terms = self.objective(self.model, batch)
        if not torch.isfinite(terms.total):
            raise FloatingPointError(_describe_nonfinite(terms, batch))
        self.log("train/loss", terms.total, prog_bar=True, batch_size=len(batch.images))
        self.log_dict(
            {f"train/{name}": part for name, part in terms.parts.items()},
            batch_size=len(batch.images),
        )
        return terms.total

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        gradients = {n: p.grad for n, p in self.named_parameters() if p.grad is not None}
        norm = torch.nn.utils.get_total_norm(list(gradients.values()))
        # The scaler of 16-mixed overflows on purpose, and skips those steps itself.
        if not torch.isfinite(norm) and self.trainer.precision != "16-mixed":
            culprits = [n for n, g in gradients.items() if not torch.isfinite(g).all()]
            raise FloatingPointError(
                f"expected finite gradients, got NaN or infinity at step {self.global_step} in "
                f"{len(culprits)} of {len(gradients)} parameters: {', '.join(culprits[:5])}; "
                "lower optimizer.lr or set trainer.gradient_clip_val"
            )
        self.log("train/gradient_norm", norm)

    def configure_optimizers(self) -> Any:
        try:
            optimizer = self.make_optimizer(self.parameter_groups())
        except ValueError as error:
            raise ValueError(
                f"expected settings that the optimizer takes, got {error}; set optimizer.*"
            ) from error
        batch = self.images_per_step
        factor = self.scaling.factor(batch)
        for group in optimizer.param_groups:
            group["lr"] *= factor * group.pop("rate_factor", 1.0)
        log.info(
            "learning rate %.3g for %d images per step (configured for %d, rule %s: x%.3g)",
            optimizer.param_groups[0]["lr"], batch, self.scaling.reference_batch,
            self.scaling.rule, factor,
        )  # fmt: skip
        self.trainer.fit_loop.setup_data()  # the next line forgets to where steps alone are limited
        total = int(self.trainer.estimated_stepping_batches)
        per_epoch = -(-self.trainer.num_training_batches // self.trainer.accumulate_grad_batches)
        schedule = self.make_schedule(optimizer, int(per_epoch), total)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What is learned; ``rate_factor`` of a group multiplies the learning rate."""
        network: list[dict[str, Any]] = [{"params": list(self.model.parameters())}]
        if not self.decay_norms:  # what has one dimension is no kernel
            kernels: list[Tensor] = []
            vectors: list[Tensor] = []
            for parameter in self.model.parameters():
                (kernels if parameter.dim() > 1 else vectors).append(parameter)
            network = [{"params": kernels}, {"params": vectors, "weight_decay": 0.0}]
        return [*network, *self.objective.parameter_groups()]

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.has_trained = True

    @property
    def images_per_step(self) -> int:
        """Images behind one optimizer step, over all devices and accumulated batches."""
        loader = self.trainer.datamodule  # type: ignore[attr-defined]
        return loader.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches

    # Validation

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        if self.teacher is not None and not self.trainer.sanity_checking:
            assert self.metric is not None  # made in setup
            self.teacher.begin(self.metric.truth, self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Detections]]:
        if self.teacher is not None:
            self.teacher.update(batch, self.decoder, self.views)
        return super().validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        if self.teacher is not None and not self.trainer.sanity_checking:
            assert self.result is not None  # computed above
            self.log_dict(self.teacher.compare(self.result))

    # Checkpoints

    def on_save_checkpoint(self, checkpoint_: dict[str, Any]) -> None:
        metrics = {} if self.result is None else dict(self.result.metrics)
        teacher = {} if self.teacher is None else {"teacher": self.teacher.state()}
        checkpoint_["featherface"] = checkpoint.metadata(
            self.model, metrics=metrics, **self.run_settings(), **teacher
        )

    def run_settings(self) -> dict[str, Any]:
        """Option group -> what it set, as plain values, where a resumed run must have the same."""
        found = {"optimizer": {"decay_norms": self.decay_norms}}
        settings = self.objective.settings()
        return {**found, "kd": settings} if settings else found

    def facts(self) -> dict[str, Any]:
        """What the record of a run says of its networks, as plain values."""
        facts: dict[str, Any] = {"parameters": sum(p.numel() for p in self.model.parameters())}
        return facts if self.teacher is None else {**facts, "teacher": self.teacher.identity()}

    def check_resumable(self, checkpoint_: dict[str, Any], path: Path | None = None) -> None:
        """Refuse to go on from a checkpoint of another network or objective.

        Args:
            checkpoint_: what the file holds.
            path: of the file, for the sentence.

        Raises:
            ValueError: naming what differs.
        """
        facts = {**_BEFORE, **checkpoint_.get("featherface", {})}
        settings = {"model": self.model.config, **self.run_settings()}
        for options in ("model", "kd", "pruning", "optimizer"):
            ours, theirs = settings.get(options) or {}, facts.get(options) or {}
            differences = checkpoint.differences(ours, theirs)
            if differences:
                found = f"with {differences}"
                if not (ours and theirs):
                    found = f"with {options}" if theirs else f"without {options}"
                raise ValueError(
                    f"expected a checkpoint of the configured run to resume from"
                    f"{f' in {path}' if path else ''}, got one {found}; resume with the {options} "
                    "options of that run, or start another with run=NAME"
                )
        if self.teacher is not None:
            self.teacher.check(facts["teacher"])

    def check_finished(self, how_to_resume: str) -> None:
        """Refuse to take a run for finished that is not.

        Raises:
            ValueError: saying what is missing.
        """

    def on_load_checkpoint(self, checkpoint_: dict[str, Any]) -> None:
        self.check_resumable(checkpoint_)
        if self.teacher is not None:
            self.teacher.result = checkpoint_["featherface"]["teacher"]["metrics"]
        self._resumed_at = settle(checkpoint_["loops"])
        self.trainer.datamodule.resume_at(*self._resumed_at)  # type: ignore[attr-defined]

    def on_train_start(self) -> None:
        if self._resumed_at is not None and self._resumed_at.batch == 0:
            # Else Lightning takes the first batch for one that it has seen.
            self.trainer.fit_loop.epoch_loop.restarting = False


def _describe_nonfinite(terms: LossTerms, batch: Batch) -> str:
    values = ", ".join(f"{name}={part.item():.4g}" for name, part in terms.parts.items())
    return (
        f"expected a finite loss, got {terms.total.item()} ({values}) on the images "
        f"{', '.join(batch.names)}; check their labels (python -m src.check_data), lower "
        "optimizer.lr or set trainer.gradient_clip_val"
    )
