"""The Lightning module of pruning: a detector whose filters fade out while it trains."""

from __future__ import annotations

import logging
from typing import Any

from src.distillation import DistillationObjective
from src.models import FaceDetector
from src.pruning import SoftPruner, SoftPruningSpec
from src.training.detector import DetectorModule, Objective
from src.training.teachers import MeasuredTeacher
from src.types import Batch

log = logging.getLogger(__name__)


class PruningModule(DetectorModule):
    """Trains a detector under masks: soft ones, then the frozen choice.

    Logs ``prune/rate_*`` (asked by now), ``prune/realised_*``, ``prune/parameters`` and
    ``prune/temperature``. Validation measures the masked network; ``val/pruned_ap`` is its AP once
    the choice is frozen. Checkpoints hold all weights, with the masks beside them.

    Args:
        model: the network.
        objective: what is minimised; where it has a teacher, that is measured, too.
        pruning: what shall go, and when.
        settings: see :class:`DetectorModule`.
    """

    monitored = "val/pruned_ap"

    def __init__(
        self,
        model: FaceDetector,
        objective: Objective,
        *,
        pruning: SoftPruningSpec,
        **settings: Any,
    ) -> None:
        super().__init__(model, objective, **settings)
        if isinstance(objective, DistillationObjective):
            objective.connect(model)
            self.teacher = MeasuredTeacher(objective.teacher)
        self.pruner = SoftPruner(model, pruning)
        self._ranked_epoch = -1
        self._masked_step = -1

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.pruner.attach(self.device)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        if self._ranked_epoch < self.current_epoch:  # an epoch resumed in the middle has its ranks
            self.pruner.rank()
            # Every process takes the scores of the first: another device may round otherwise.
            self.pruner.scores = self.trainer.strategy.broadcast(self.pruner.scores)
            self._ranked_epoch = self.current_epoch

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if self.global_step == self._masked_step:  # of several batches per step the first
            return
        self._masked_step = self.global_step
        pruner, spec = self.pruner, self.pruner.spec
        progress = (self.global_step + 1) / int(self.trainer.estimated_stepping_batches)
        if not pruner.frozen:
            pruner.advance(progress)
            if pruner.frozen:
                pruner.clear(self.trainer.optimizers)
                log.info(
                    "step %d: the choice of filters stands, %.0f parameters",
                    self.global_step, pruner.log_values()["parameters"],
                )  # fmt: skip
        asked = 1.0 if pruner.frozen else spec.rise(progress)
        values = {f"rate_{name}": asked * rate for name, rate in pruner.plan.rates.items()}
        values |= {"temperature": spec.temperature(progress), **pruner.log_values()}
        self.log_dict({f"prune/{name}": value for name, value in values.items()}, batch_size=1)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        if self.trainer.sanity_checking:
            return
        assert self.result is not None  # computed above
        ap = self.result.metrics["ap"] if self.pruner.frozen else float("nan")
        self.log(self.monitored, ap)

    def on_save_checkpoint(self, checkpoint_: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint_)
        masks = {**self.pruner.state(), "ranked_epoch": self._ranked_epoch}
        checkpoint_["featherface"]["masks"] = masks

    def on_load_checkpoint(self, checkpoint_: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint_)
        masks = checkpoint_["featherface"]["masks"]
        self.pruner.load_state(masks)
        self._ranked_epoch = masks["ranked_epoch"]

    def check_finished(self, how_to_resume: str) -> None:
        if not self.pruner.frozen:
            raise ValueError(
                f"expected the training to reach {self.pruner.spec.freeze:.0%} of its "
                f"{int(self.trainer.estimated_stepping_batches)} steps, where the choice of "
                f"filters is made, got its end at step {self.global_step}; {how_to_resume} "
                "continues"
            )

    def run_settings(self) -> dict[str, Any]:
        return {**super().run_settings(), "pruning": self.pruner.settings()}

    def facts(self) -> dict[str, Any]:
        facts, plan = super().facts(), self.pruner.plan
        return {
            **facts,
            "parameters": int(self.pruner.cost.parameters(plan.kept)),  # of the result
            "pruning": {"rates": plan.rates, "parameters_before": facts["parameters"]},
        }
