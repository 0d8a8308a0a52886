"""The teacher of a student: loaded from its file, and known again by its weights."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from src import checkpoint
from src.detection.decoding import Decoder
from src.detection.inference import Views, detect
from src.detection.objective import DetectionObjective
from src.distillation import CellDistillation, DistillationObjective, FeatureTerm, Teacher, YuNet
from src.distillation.balance import Balance
from src.evaluation import WiderAP, WiderResult
from src.evaluation.ground_truth import ImageTruth
from src.runs.teachers import TeacherSearch
from src.training.evaluator import by_level
from src.types import Batch

log = logging.getLogger(__name__)


class MeasuredTeacher:
    """The teacher of a run, and its AP on the validation images: measured once in the run's life.

    Attributes:
        result: what :class:`WiderAP` found, by name; None before the first whole validation.
    """

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher
        self.result: dict[str, float] | None = None
        self._sha256 = fingerprint(teacher)
        self._metric: WiderAP | None = None

    def begin(self, truth: Mapping[str, ImageTruth], device: torch.device) -> None:
        """A whole validation begins."""
        if self.result is None:
            self._metric = WiderAP(truth).to(device)

    def update(self, batch: Batch, decoder: Decoder, views: Views) -> None:
        """Find faces in a batch of that validation, if the AP is not known yet."""
        if self._metric is not None:
            found = detect(self.teacher, decoder, batch.images, batch.scales, views)
            self._metric.update(batch.names, found)

    def compare(self, student: WiderResult) -> dict[str, float]:
        """Its APs and how far the student lies below them, by their names in the log."""
        if self._metric is not None:
            self.result, self._metric = dict(self._metric.compute().metrics), None
        assert self.result is not None  # begun with the first validation, or in the checkpoint
        names = ("ap", "ap_easy", "ap_medium", "ap_hard")
        gaps = {name: self.result[name] - student.metrics[name] for name in names}
        log.info("teacher AP %s; gap %s", by_level(self.result), by_level(gaps))
        teacher = {f"val/teacher_{name}": self.result[name] for name in names}
        return teacher | {f"val/gap_{name}": gap for name, gap in gaps.items()}

    def identity(self) -> dict[str, str]:
        """File and fingerprint, for the record of the run."""
        return {"path": self.teacher.name, "sha256": self._sha256}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {**self.identity(), "metrics": self.result}

    def check(self, state: Mapping[str, Any]) -> None:
        """Refuse to go on with another teacher than that of a checkpoint.

        Raises:
            ValueError: naming both files.
        """
        if state["sha256"] != self._sha256:
            raise ValueError(
                f"expected the teacher this run began with ({state['path']}) to resume it, got "
                f"other weights in {self.teacher.name}; put that file back, or start "
                "another run with run=NAME"
            )


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
    min_prior: float | None = None,
    levels: Sequence[int] | Mapping[int, float] | None = None,
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
        min_prior=min_prior,
        levels=levels,
    )


def cell_distillation(
    supervised: DetectionObjective, *, teacher: str | None, alpha: float
) -> CellDistillation:
    """A :class:`CellDistillation` whose teacher is in a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: none is named, or it holds no YuNet.
    """
    if teacher is None:
        raise ValueError("expected the ONNX file of a YuNet as teacher; set kd.teacher=FILE")
    return CellDistillation(supervised, YuNet(teacher), alpha=alpha)


def fingerprint(teacher: Teacher) -> str:
    """Same for same weights, wherever the file lies."""
    digest = hashlib.sha256()
    for name, value in sorted(teacher.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
