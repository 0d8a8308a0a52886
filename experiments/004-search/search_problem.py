"""The problem that searches are compared on: six rates of one network, from a table of trials."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from surrogate import Loss

from src.models import build_model, wiring_of
from src.models.channels import GROUPS
from src.pruning import Cost, PruningSpec
from src.pruning.surface import BudgetSurface

CONF = Path(__file__).resolve().parents[2] / "conf"

Rates = dict[str, float]


class Plan(NamedTuple):
    """What one evaluation tried and found."""

    rates: Rates
    parameters: int
    loss: float
    """Without noise: what the plan is worth. No method sees it."""
    observed: float
    """What the method was told."""
    trained: bool
    """False where the method knew beforehand that the plan was not worth training."""


class PruningProblem:
    """Minimise the loss of a pruned network with at most ``share`` of its parameters.

    Args:
        loss: of what :meth:`realised` gives, [M, 6].
        deviation: of the noise of one evaluation.
        share: of the dense network's parameters.

    Attributes:
        low, high: [6], bounds of the rates, those of ``conf/pruning/one_shot.yaml``.
        dense: parameters of the network, Nano-B Enhanced.
        surface: the plans with just so many parameters as the budget allows.
    """

    def __init__(self, loss: Loss, deviation: float, *, share: float = 0.5) -> None:
        config: Any = OmegaConf.load(CONF / "pruning" / "one_shot.yaml")
        bounds = {name: tuple(config.pruning.bounds[name]) for name in GROUPS}
        self.low, self.high = np.array(list(bounds.values())).T
        with TemporaryDirectory(), initialize_config_dir(str(CONF), version_base="1.3"):
            model = compose("train", ["model=nano_b_enhanced"]).model
        network = build_model(instantiate(model, _convert_="all"))
        wiring = wiring_of(network)
        self._spec = PruningSpec(rates=dict.fromkeys(GROUPS), bounds=bounds, parameters=share)
        self._loss, self._deviation = loss, deviation
        self._cost = Cost(network, wiring)
        self.surface = BudgetSurface(self._spec, wiring, self._cost, bounds)
        widths = np.array([len(variable.channels) for variable in wiring.variables])
        self._groups = np.array([[v.group == name for v in wiring.variables] for name in GROUPS])
        self._dense_groups = self._groups @ widths
        self.dense = int(self._cost.parameters(widths))
        self.budget = self.surface.budget

    def rates(self, point: np.ndarray) -> Rates:
        """The rates at a point [6] of the box, each coordinate from 0 to 1."""
        values = self.low + point * (self.high - self.low)
        return dict(zip(GROUPS, map(float, values), strict=True))

    def point(self, rates: Rates) -> np.ndarray:
        """Where rates lie in the box, [6]."""
        return (np.array([rates[name] for name in GROUPS]) - self.low) / (self.high - self.low)

    def realised(self, kept: np.ndarray) -> np.ndarray:
        """Where the rates lie in the box that whole widths leave, [..., V] -> [..., 6].

        Plans of the same widths are the same network, and have the same loss.
        """
        rates = 1 - kept @ self._groups.T / self._dense_groups
        return (rates - self.low) / (self.high - self.low)

    def loss(self, rates: Rates) -> float:
        """Without noise."""
        return float(self._loss(self.realised(np.array([self.surface.kept(rates)])))[0])

    def tabulate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parameters and losses without noise at many points [M, 6] of the box, [M] each."""
        kept = np.array([self.surface.kept(self.rates(point)) for point in points])
        return self._cost.parameters(kept), self._loss(self.realised(kept))

    def uniform(self, share: float) -> Rates:
        """The plan of the largest network with at most ``share`` of the parameters, all groups
        equally far from their lower to their upper bound.
        """
        below, above = 0.0, 1.0
        for _ in range(30):
            middle = (below + above) / 2
            size = self.surface.parameters(self.rates(np.full(len(GROUPS), middle)))
            below, above = (below, middle) if size <= share * self.dense else (middle, above)
        return self.rates(np.full(len(GROUPS), above))

    def evaluate(self, rates: Rates, *, seed: int, train: bool = True) -> Plan:
        """Try a plan. The noise follows from the seed and the widths, as in a real trial, whose
        order of data is fixed: who tries a plan twice sees the same, whichever method it is.
        """
        kept = self.surface.kept(rates)
        noise = np.random.default_rng([seed, *kept]).normal(0, self._deviation)
        loss = self.loss(rates)
        return Plan(rates, int(self._cost.parameters(kept)), loss, loss + noise, train)


class Trials:
    """Counts and keeps what a method tries.

    Args:
        problem: what is searched.
        number: of evaluations that the method has.
        seed: of the noise.
    """

    def __init__(self, problem: PruningProblem, number: int, seed: int) -> None:
        self.problem, self.number, self.seed = problem, number, seed
        self.plans: list[Plan] = []

    def __call__(self, rates: Rates, *, train: bool = True) -> Plan:
        assert len(self.plans) < self.number, "more evaluations than the method has"
        self.plans.append(self.problem.evaluate(rates, seed=self.seed, train=train))
        return self.plans[-1]

    @property
    def left(self) -> int:
        return self.number - len(self.plans)

    def luckiest(self) -> list[int | None]:
        """After each evaluation, the number of the plan within the budget of the lowest loss that
        was seen; None until there is one.
        """
        best: list[int | None] = []
        for number, plan in enumerate(self.plans):
            last = best[-1] if best else None
            if plan.trained and plan.parameters <= self.problem.budget and (
                last is None or plan.observed < self.plans[last].observed
            ):  # fmt: skip
                last = number
            best.append(last)
        return best
