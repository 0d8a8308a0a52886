"""Which plans a search of pruning rates may try: those that keep the budget of parameters."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from optuna.distributions import FloatDistribution

from src import checkpoint
from src.cli.targets import instantiate
from src.models import wiring_of
from src.pruning import BudgetSurface, Cost, PruningSpec
from src.search.space import Space

RATES = "pruning.rates."
SECOND = ("multiply_adds", "latency")
"""What can be a second objective of a search."""


def check_trial(config: DictConfig) -> None:
    """Refuse settings of a trial that cannot work.

    Raises:
        ValueError: naming the setting.
    """
    if config.second not in (None, *SECOND):
        raise ValueError(f"expected second of {', '.join(SECOND)} or null, got {config.second!r}")
    if config.data.num_held_out < 1:
        raise ValueError(
            f"expected data.num_held_out of at least 1, got {config.data.num_held_out}; the loss "
            "on these images is what a trial is worth"
        )
    if config.pruning is None or "pruning" in config.module:
        raise ValueError(
            "expected pruning=one_shot of a search, or a file with what it sets; pruning=soft "
            "prunes along a training"
        )


class FeasiblePlans(NamedTuple):
    """Rates whose plans keep the budget of parameters, for :class:`src.search.SearchSampler`.

    What is searched beside rates is left as proposed.
    """

    surface: BudgetSurface

    @property
    def solved(self) -> str:
        return RATES + self.surface.solved

    def probe(self) -> dict[str, Any]:
        return {RATES + name: rate for name, rate in self.surface.uniform().items()}

    def project(self, params: Mapping[str, Any]) -> dict[str, Any]:
        moved = self.surface.project(_rates(params))
        return {**params, **{RATES + name: rate for name, rate in moved.items()}}

    def key(self, params: Mapping[str, Any]) -> Hashable:
        others = [value for name, value in params.items() if not name.startswith(RATES)]
        return (*self.surface.kept(_rates(params)), *others)

    def facts(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"parameters": self.surface.parameters(_rates(params))}


def feasible_plans(config: DictConfig, space: Space) -> tuple[Space, FeasiblePlans]:
    """The plans that a search may try, and its space without groups that the network lacks.

    Raises:
        ValueError: what a trial or the budget refuses; so a search ends before its first trial.
    """
    check_trial(config)
    direction = OmegaConf.select(config, "hydra.sweeper.direction", default="minimize")
    if (not isinstance(direction, str) and len(direction) == 2) != (config.second is not None):
        raise ValueError(
            "expected second=NAME together with hydra.sweeper.direction=[minimize,minimize], got "
            f"second={config.second} and {direction}"
        )
    spec: PruningSpec = instantiate(config.pruning, _convert_="all")
    model = checkpoint.load(config.checkpoint).model
    wiring = wiring_of(model)
    groups = {variable.group for variable in wiring.variables}
    absent = [
        n for n in space.distributions if n.startswith(RATES) and n[len(RATES) :] not in groups
    ]
    distributions = {n: d for n, d in space.distributions.items() if n not in absent}
    cost = Cost(model, wiring, height=config.height, width=config.width)
    bounds = {}
    for name, distribution in distributions.items():
        if not name.startswith(RATES):
            continue
        if not isinstance(distribution, FloatDistribution) or distribution.step is not None:
            raise ValueError(
                f"expected {name} to be searched as interval(LOW,HIGH), any rate between, got "
                f"{distribution}; or give it one rate"
            )
        group, low, high = name.removeprefix(RATES), distribution.low, distribution.high
        bounds[group] = low, high
        least, most = spec.bounds[group]
        if low < least or high > most:
            raise ValueError(
                f"expected {RATES}{group} to be searched within pruning.bounds.{group}, "
                f"[{least}, {most}], got {low} to {high}; set pruning.bounds.{group}=[{low},{high}]"
            )
    surface = BudgetSurface(spec, wiring, cost, bounds)
    fixed = (*space.fixed, *(f"{name}=null" for name in absent))
    return Space(distributions, fixed), FeasiblePlans(surface)


def _rates(params: Mapping[str, Any]) -> dict[str, float]:
    return {n.removeprefix(RATES): rate for n, rate in params.items() if n.startswith(RATES)}
