"""Soft pruning: filters fade out while the network trains, and may come back until a choice stands.

Soft filter pruning (He et al., IJCAI 2018) sets the chosen filters to zero and lets them learn on;
its asymptotic form (He et al., IEEE Transactions on Cybernetics, 2020) raises the rate slowly. Here
nothing is set to zero: a sigmoid of the standardised score fades filters, sharper and sharper, and
leaves them gradient and norm, without which none could return.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from src.models import FaceDetector, wiring_of
from src.pruning.cost import Cost
from src.pruning.importance import importance, norm_statistics
from src.pruning.masks import Masks
from src.pruning.plan import PruningSpec, keep, realised_rates, widths_table
from src.pruning.surgery import absent


@dataclass(frozen=True, kw_only=True)
class SoftPruningSpec(PruningSpec):
    """What to prune, and when; times are shares of the training.

    Args:
        ramp: until when the rates rise, by 1 - (1 - t / ramp)^3 (Zhu and Gupta, 2017).
        freeze: from when the choice stands and factors are 0 or 1.
        first_temperature: of the sigmoid at the start, in standard deviations of the scores.
        last_temperature: at the end, reached by the same curve.
        floor: smallest factor of a fading filter's gradient.

    Raises:
        ValueError: times or temperatures out of order, besides what :class:`PruningSpec` refuses.
    """

    ramp: float = 0.6
    freeze: float = 0.9
    first_temperature: float = 0.5
    last_temperature: float = 0.02
    floor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images_needed:
            raise ValueError(
                "expected pruning.importance of the weights alone and pruning.reconstruction=null "
                f"along a training, got {self.importance} and {self.reconstruction}; "
                "pruning=one_shot takes them"
            )
        if not 0 < self.ramp <= self.freeze <= 1:
            raise ValueError(
                "expected 0 < pruning.ramp <= pruning.freeze <= 1, shares of the training, got "
                f"{self.ramp} and {self.freeze}"
            )
        if not 0 < self.last_temperature <= self.first_temperature:
            raise ValueError(
                "expected 0 < pruning.last_temperature <= pruning.first_temperature, got "
                f"{self.last_temperature} and {self.first_temperature}"
            )
        if not 0 <= self.floor <= 1:
            raise ValueError(f"expected pruning.floor from 0 to 1, got {self.floor}")

    def rise(self, progress: float) -> float:
        """Share of the rates at ``progress`` of the training."""
        return 1 - (1 - min(1.0, progress / self.ramp)) ** 3

    def temperature(self, progress: float) -> float:
        """Width of the sigmoid at ``progress`` of the training."""
        span = self.first_temperature - self.last_temperature
        return self.last_temperature + span * (1 - min(1.0, progress)) ** 3


class SoftPruner:
    """The masks of a network in training.

    Args:
        model: the network; its weights are only written by :meth:`clear`.
        spec: what shall go, and when.

    Attributes:
        plan: rates and widths of the end.
        kept: which channels the present rates leave, bool by id.
        frozen: whether the choice stands.

    Raises:
        ValueError: what :meth:`PruningSpec.plan` refuses.
    """

    def __init__(self, model: FaceDetector, spec: SoftPruningSpec) -> None:
        self.model = model
        self.spec = spec
        self.wiring = wiring_of(model)
        self.cost = Cost(model, self.wiring)
        self.plan = spec.plan(self.wiring, self.cost)
        self.masks = Masks(self.wiring, floor=spec.floor)
        self.kept = np.ones(self.wiring.num_channels, bool)
        self.frozen = False
        self.scores = np.zeros(self.wiring.num_channels)
        self.statistics = norm_statistics(self.wiring)

    def attach(self, device: torch.device) -> None:
        """Put the masks to work, on modules that may have been exchanged since (SyncBatchNorm)."""
        self.masks.detach()
        values, floor = self.masks.values, self.masks.floor
        self.wiring = wiring_of(self.model)
        self.masks = Masks(self.wiring).attach()
        self.masks.values, self.masks.floor = values, floor
        self.masks.to(device)

    def rank(self) -> None:
        """Score the filters as they are now, with the norms as they were before the masks."""
        spec = self.spec
        self.scores = importance(
            self.wiring, criterion=spec.importance, bn_fold=spec.bn_fold, seed=spec.seed,
            statistics=self.statistics,
        )  # fmt: skip

    def advance(self, progress: float) -> None:
        """Set the masks for ``progress`` of the training, 0 to 1; once frozen they stay."""
        if self.frozen:
            return
        self.frozen = progress >= self.spec.freeze
        share = 1.0 if self.frozen else self.spec.rise(progress)
        rates = {name: share * rate for name, rate in self.plan.rates.items()}
        counts = self.plan.kept if self.frozen else self.spec.kept(self.wiring, rates)
        self.kept = keep(self.wiring, self.scores, counts)
        if self.frozen:
            values = self.kept.astype(float)
            self.masks.floor.zero_()
        else:
            values = self._soft(self.spec.temperature(progress))
        self.masks.values.copy_(torch.from_numpy(values))

    def _soft(self, temperature: float) -> np.ndarray:
        """Factors around the threshold between what the present rates keep and what they do not."""
        values = np.ones(self.wiring.num_channels)
        for variable in self.wiring.variables:
            for block in np.split(variable.channels, self.wiring.blocks(variable)):
                stay = self.kept[block]
                if stay.all():
                    continue
                scores = self.scores[block]
                z = (scores - scores.mean()) / max(scores.std(), np.finfo(float).tiny)
                threshold = (z[stay].min() + z[~stay].max()) / 2
                values[block] = torch.sigmoid(torch.from_numpy((z - threshold) / temperature))
        return values

    @torch.no_grad()
    def clear(self, optimizers: Iterable[Optimizer]) -> None:
        """Zero the weights of what is gone for good, and what optimizers remember of them.

        Their gradients are zero from now on; momentum would still move them.
        """
        states = [optimizer.state for optimizer in optimizers]
        for coupling in self.wiring.couplings:
            tensor = getattr(coupling.module, coupling.attribute)
            if not isinstance(tensor, torch.nn.Parameter):
                continue
            gone = absent(coupling, self.kept, tensor)
            tensor[gone] = 0
            for state in states:
                for value in state.get(tensor, {}).values():
                    if isinstance(value, Tensor) and value.shape == tensor.shape:
                        value[gone] = 0

    def log_values(self) -> dict[str, float]:
        """Realised rates per group and parameters, of the present choice."""
        found = self.results()
        rates = {f"realised_{name}": rate for name, rate in found["realised_rates"].items()}
        return {"parameters": float(found["parameters"][1]), **rates}

    def results(self) -> dict[str, Any]:
        """Rates and widths of the present choice, as plain values."""
        counts = [int(self.kept[variable.channels].sum()) for variable in self.wiring.variables]
        dense = [len(variable.channels) for variable in self.wiring.variables]
        return {
            "rates": self.plan.rates,
            "realised_rates": realised_rates(self.wiring, self.kept),
            "parameters": [int(self.cost.parameters(each)) for each in (dense, counts)],
            "multiply_adds": [int(self.cost.multiply_adds(each)) for each in (dense, counts)],
            "widths": widths_table(self.wiring, self.kept),
        }

    def settings(self) -> dict[str, Any]:
        """The settings of the pruning, as plain values; a resumed run must have the same."""
        return dataclasses.asdict(self.spec)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs, as plain data; ``kept`` and ``frozen`` are what others read."""
        return {
            "kept": torch.from_numpy(self.kept),
            "frozen": self.frozen,
            "scores": torch.from_numpy(self.scores),
            "factors": self.masks.values.cpu().clone(),
            "statistics": [None if s is None else s.cpu() for s in self.statistics],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.kept = state["kept"].numpy().copy()
        self.frozen = state["frozen"]
        self.scores = state["scores"].numpy().copy()
        self.masks.values.copy_(state["factors"])
        self.statistics = state["statistics"]
        if self.frozen:
            self.masks.floor.zero_()
