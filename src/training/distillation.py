"""The Lightning module of a student: a detector with a teacher beside it."""

from __future__ import annotations

import logging
from typing import Any

from src.detection.inference import detect
from src.distillation import DistillationObjective
from src.evaluation import WiderAP
from src.models import FaceDetector
from src.training.detector import DetectorModule
from src.training.teachers import fingerprint
from src.types import Batch, Detections

log = logging.getLogger(__name__)


class DistillationModule(DetectorModule):
    """Trains a student, and measures its teacher once on the same validation images.

    Logs ``val/teacher_ap*`` and ``val/gap_ap*`` (teacher minus student) beside the student's
    ``val/ap*``. Checkpoints name the teacher and hold none of its weights.

    Args:
        model: the student.
        objective: with the teacher.
        settings: see :class:`DetectorModule`.
    """

    objective: DistillationObjective

    def __init__(
        self, model: FaceDetector, objective: DistillationObjective, **settings: Any
    ) -> None:
        super().__init__(model, objective, **settings)
        objective.connect(model)
        self.teacher_metric: WiderAP | None = None
        self.teacher_result: dict[str, float] | None = None
        self._fingerprint = fingerprint(objective.teacher)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [*super().parameter_groups(), *self.objective.parameter_groups()]

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if self.teacher_metric is None and self.metric is not None:
            self.teacher_metric = WiderAP(self.trainer.datamodule.truth())  # type: ignore[attr-defined]

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Detections]]:
        if self.teacher_result is None:
            assert self.teacher_metric is not None  # made in setup
            found = detect(
                self.objective.teacher, self.decoder, batch.images, batch.scales, self.views
            )
            self.teacher_metric.update(batch.names, found)
        return super().validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        assert self.teacher_metric is not None  # made in setup
        assert self.result is not None  # computed above
        if self.teacher_result is None:
            self.teacher_result = dict(self.teacher_metric.compute().metrics)
            self.teacher_metric.reset()
        gaps = {
            name: self.teacher_result[name] - self.result.metrics[name]
            for name in ("ap", "ap_easy", "ap_medium", "ap_hard")
        }
        self.log_dict({f"val/teacher_{name}": self.teacher_result[name] for name in gaps})
        self.log_dict({f"val/gap_{name}": gap for name, gap in gaps.items()})
        log.info(
            "teacher AP %s; gap %s", *(
                "  ".join(f"{level} {100 * values[f'ap_{level}']:.2f}"
                          for level in ("easy", "medium", "hard"))
                for values in (self.teacher_result, gaps)
            ),
        )  # fmt: skip

    def on_save_checkpoint(self, checkpoint_: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint_)
        checkpoint_["featherface"]["teacher"] = {**self._teacher(), "metrics": self.teacher_result}

    def run_settings(self) -> dict[str, Any]:
        return {**super().run_settings(), "kd": self.objective.settings()}

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "teacher": self._teacher()}

    def check_resumable(self, checkpoint_: dict[str, Any]) -> None:
        super().check_resumable(checkpoint_)
        saved = checkpoint_["featherface"]["teacher"]
        if saved["sha256"] != self._fingerprint:
            raise ValueError(
                f"expected the teacher this run began with ({saved['path']}) to resume it, got "
                f"other weights in {self.objective.teacher.name}; put that file back, or start "
                "another run with run=NAME"
            )

    def on_load_checkpoint(self, checkpoint_: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint_)
        self.teacher_result = checkpoint_["featherface"]["teacher"]["metrics"]

    def _teacher(self) -> dict[str, str]:
        return {"path": self.objective.teacher.name, "sha256": self._fingerprint}
