"""The objective of a student: faces of the labels, and what the teacher says of the same images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from src.detection.objective import DetectionObjective
from src.detection.priors import PriorSpec
from src.distillation.balance import Balance
from src.distillation.features import FeatureTerm
from src.distillation.losses import compared_rows, distillation_terms, face_probability
from src.distillation.teacher import Teacher
from src.distillation.twins import Twins, row_factors, twins_for
from src.models import FaceDetector
from src.types import Batch, LossTerms, Outputs


class DistillationObjective(nn.Module):
    """L = alpha L_distill + (1 - alpha) L_task; called like the supervised objective it contains.

    A module because it may learn (weights of its terms, feature adapters). The teacher is none of
    its submodules, so it is in no checkpoint.

    Args:
        supervised: L_task.
        teacher: whose outputs are imitated.
        balance: weighs the terms of L_distill.
        alpha: share of L_distill, 0 to 1.
        temperature: of the compared classes, above 0.
        features: also imitate the feature pyramid; None: outputs only.
        min_prior: outputs of smaller priors are not imitated, pixels: there the labels may know
            better than the teacher. None: outputs of all.
        levels: strides of the priors whose outputs are imitated, or stride -> how much a row of it
            counts; None: all, alike.
    """

    def __init__(
        self,
        supervised: DetectionObjective,
        teacher: Teacher,
        *,
        balance: Balance,
        alpha: float,
        temperature: float,
        features: FeatureTerm | None = None,
        min_prior: float | None = None,
        levels: Sequence[int] | Mapping[int, float] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"expected an alpha from 0 to 1, got {alpha}; set kd.alpha")
        if not 0 < temperature < math.inf:
            raise ValueError(
                f"expected a temperature above 0, got {temperature}; set kd.temperature"
            )
        if min_prior is not None and not 0 < min_prior < math.inf:
            raise ValueError(
                f"expected a smallest prior above 0 pixels, or null for all, got {min_prior}; "
                "set kd.min_prior"
            )
        self.supervised = supervised
        self.teacher = teacher
        self.balance = balance
        self.alpha = alpha
        self.temperature = temperature
        self.features = features
        self.min_prior = min_prior
        self.levels = None if levels is None else _factors(levels)

    def connect(self, student: FaceDetector) -> None:
        """Fit the objective to the student; to be called before its parameters are asked for.

        Raises:
            ValueError: the outputs of student and teacher cannot be paired.
        """
        # What can be paired at one size can be at every size; this is that of published figures.
        twins = self._twins(student.priors, 640, 640, torch.device("cpu"))
        strides = student.priors.strides
        if self.levels is not None and not set(self.levels) <= set(strides):
            raise ValueError(
                f"expected strides of the student, {_joined(strides)}, got {_joined(self.levels)}; "
                "set kd.levels"
            )
        if not len(twins.student):
            largest = max(max(sizes) for sizes in student.priors.sizes)
            raise ValueError(
                f"expected priors whose outputs can be imitated, got none of at least "
                f"{self.min_prior:g} pixels on strides {_joined(self.levels or strides)}, the "
                f"largest of all has {largest:g}; set kd.min_prior and kd.levels"
            )
        if self.features is not None:
            channels = self.teacher.network.pyramid_channels
            self.features.connect(student.pyramid_channels, channels)

    def settings(self) -> dict[str, Any]:
        """The settings of the objective, as plain values; a resumed run must have the same."""
        return {
            "alpha": self.alpha,
            "temperature": self.temperature,
            "features": None if self.features is None else self.features.weight,
            "min_prior": self.min_prior,
            "levels": self._plain_levels(),
            **self.balance.settings(),
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What is learned here, as groups for an optimizer."""
        groups = self.balance.parameter_groups()
        if self.features is not None:
            groups.append({"params": list(self.features.parameters())})
        return groups

    def forward(self, network: FaceDetector, batch: Batch) -> tuple[Outputs, LossTerms]:
        """Run student and teacher on a batch and compare.

        Parts of the loss: those of the supervised one and ``task``, their sum; ``kd_class``,
        ``kd_box``, ``kd_landmark``, with features ``kd_feature``, and ``kd``, their balance; the
        learned ``kd_weight_*`` and ``kd_log_variance_*``.
        """
        pyramid = network.pyramid(network.normalise(batch.images))
        outputs = network.predict(pyramid)
        taught, example = self.teacher.observe(self.teacher.normalise(batch.images))
        matched = self.supervised.match(network.priors, outputs, batch)
        task = self.supervised.measure(outputs, matched)

        height, width = batch.images.shape[-2:]
        twins = self._twins(network.priors, height, width, batch.images.device)
        with torch.autocast(outputs.deltas.device.type, enabled=False):
            compared = compared_rows(outputs.logits, matched)
            terms = distillation_terms(
                Outputs(*(o[:, twins.student] for o in outputs)),
                Outputs(*(o[:, twins.teacher] for o in taught)),
                compared[:, twins.student],
                self.temperature,
                self._importance(network.priors, height, width, twins.student),
            )
            distilled = self.balance(terms)
            if self.features is not None:
                terms["feature"] = self.features(
                    pyramid, example, face_probability(taught.logits), self.teacher.priors,
                    (height, width),
                )  # fmt: skip
                distilled = distilled + self.features.weight * terms["feature"]
        parts: dict[str, Tensor] = {**task.parts, "task": task.total, "kd": distilled}
        parts |= {f"kd_{name}": value for name, value in terms.items()}
        parts |= {f"kd_{name}": value for name, value in self.balance.log_values().items()}
        total = self.alpha * distilled + (1 - self.alpha) * task.total
        return outputs, LossTerms(total, parts)

    def _twins(self, priors: PriorSpec, height: int, width: int, device: torch.device) -> Twins:
        return twins_for(
            priors, self.teacher.priors, height, width, device,
            min_prior=self.min_prior, levels=None if self.levels is None else tuple(self.levels),
        )  # fmt: skip

    def _importance(
        self, priors: PriorSpec, height: int, width: int, rows: Tensor
    ) -> Tensor | None:
        """How much each of these rows counts, [T]; None: all alike."""
        if self.levels is None or len(set(self.levels.values())) == 1:
            return None
        factors = row_factors(priors, height, width, tuple(self.levels.items()), rows.device)
        return factors[rows]

    def _plain_levels(self) -> list[int] | dict[int, float] | None:
        """For a checkpoint: a list where all count alike, as before there were factors."""
        if self.levels is None:
            return None
        return list(self.levels) if set(self.levels.values()) == {1.0} else dict(self.levels)


def _factors(levels: Sequence[int] | Mapping[int, float]) -> dict[int, float]:
    """Stride -> factor, by stride."""
    given = levels if isinstance(levels, Mapping) else dict.fromkeys(levels, 1.0)
    if not all(0 < factor < math.inf for factor in given.values()):
        raise ValueError(
            "expected factors above 0 for the strides, got "
            f"{', '.join(f'{stride}: {factor:g}' for stride, factor in given.items())}; leave out "
            "strides that are not imitated in kd.levels"
        )
    return {stride: float(given[stride]) for stride in sorted(given)}


def _joined(strides: Iterable[int]) -> str:
    return ", ".join(map(str, strides))
