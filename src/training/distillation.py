"""The Lightning module of a student: a detector with a teacher beside it."""

from __future__ import annotations

from typing import Any

from src.distillation import DistillationObjective
from src.models import FaceDetector
from src.training.detector import DetectorModule
from src.training.teachers import MeasuredTeacher


class DistillationModule(DetectorModule):
    """Trains a student, and measures its teacher once on the same validation images.

    Logs ``val/teacher_ap*`` and ``val/gap_ap*`` (teacher minus student) beside the student's
    ``val/ap*``. Checkpoints name the teacher and hold none of its weights.

    Args:
        model: the student.
        objective: with the teacher.
        settings: see :class:`DetectorModule`.
    """

    def __init__(
        self, model: FaceDetector, objective: DistillationObjective, **settings: Any
    ) -> None:
        super().__init__(model, objective, **settings)
        objective.connect(model)
        self.teacher = MeasuredTeacher(objective.teacher)
