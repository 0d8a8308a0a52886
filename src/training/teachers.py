"""The teacher of a student: loaded from its file, and known again by its weights."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Literal

from src import checkpoint
from src.detection.objective import DetectionObjective
from src.distillation import DistillationObjective, FeatureTerm, Teacher
from src.distillation.balance import Balance
from src.runs.teachers import TeacherSearch

log = logging.getLogger(__name__)


def distillation_objective(
    supervised: DetectionObjective,
    *,
    teacher: str | None,
    search: TeacherSearch,
    teacher_precision: Literal["bf16"] | None,
    balance: Balance,
    alpha: float,
    temperature: float,
    features: FeatureTerm | None = None,
) -> DistillationObjective:
    """A :class:`DistillationObjective` whose teacher is in a file.

    Args:
        teacher: checkpoint of ours or published weights; None: as ``search`` finds.
        teacher_precision: see :class:`Teacher`.
        others: see :class:`DistillationObjective`.

    Raises:
        FileNotFoundError: no such file, or no teacher found.
        ValueError: the file holds no detector.
    """
    file = search.find() if teacher is None else Path(teacher)
    network, facts = checkpoint.load(file)
    ap = facts.get("metrics", {}).get("ap")
    log.info(
        "teacher: %s (%s, %d parameters%s)%s", file, network.config["name"],
        sum(p.numel() for p in network.parameters()),
        "" if ap is None else f", mean AP {100 * ap:.2f} when it was trained",
        "" if teacher else "; kd.teacher=FILE names another",
    )  # fmt: skip
    return DistillationObjective(
        supervised,
        Teacher(network, precision=teacher_precision, name=str(file)),
        balance=balance,
        alpha=alpha,
        temperature=temperature,
        features=features,
    )


def fingerprint(teacher: Teacher) -> str:
    """Same for same weights, wherever the file lies."""
    digest = hashlib.sha256()
    for name, value in sorted(teacher.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
