"""What is tried next: any of Optuna's samplers behind a design, on the points that are allowed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from src.search.coordinates import Distributions, from_unit, to_unit

Params = dict[str, Any]

SEEDS = 100_003
"""Factor of a search's seed; the trial's number is added. A prime above any number of trials."""

TRIES = 64
"""New points looked for around one that is known already."""


class Feasible(Protocol):
    """The points of a search space that may be tried."""

    @property
    def solved(self) -> str:
        """The setting that follows from the others."""
        ...

    def probe(self) -> Params:
        """The first point: all settings equally far between their bounds."""
        ...

    def project(self, params: Mapping[str, Any]) -> Params:
        """The allowed point that stands for a proposal."""
        ...

    def key(self, params: Mapping[str, Any]) -> Hashable:
        """What makes two points the same experiment."""
        ...

    def facts(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What is known of a point before it is tried, as plain values for the study."""
        ...


class SearchSampler(BaseSampler):
    """A sampler behind a design of first points, and on the points that are allowed.

    Trial 0 is the probe (the middle of the space, or what ``feasible`` says), the next are
    scrambled Sobol points (Owen, 1998), then another sampler proposes. With ``feasible``, it
    proposes all but the setting that is solved for, so that its model has one coordinate for each
    freedom there is; what it proposes is moved to an allowed point, and that one is recorded.

    Each trial's random numbers follow from the seed and the trial's number: a killed search goes
    on with the points it would have had.

    Args:
        make: ``seed -> sampler`` that proposes after the design.
        distributions: the search space.
        seed: of the design and of what follows.
        design: number of first points, the probe among them.
        feasible: which points are allowed; None: all.
        warm_start: points to try before the design; what they leave out is that of the probe.

    Raises:
        ValueError: a point of ``warm_start`` that does not lie in the space.
    """

    def __init__(
        self,
        make: Callable[[int], BaseSampler],
        distributions: Distributions,
        *,
        seed: int = 0,
        design: int = 8,
        feasible: Feasible | None = None,
        warm_start: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        for point in warm_start:
            check_point(distributions, point)
        self._warm_start = warm_start
        self._make = make
        self._distributions = dict(distributions)
        self._seed = seed
        self._design = design
        self._feasible = feasible

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> Params:
        if self.design_of(trial.number) == "probe":
            return self.probe()
        params = self._propose(study, trial)
        if self._feasible is None:
            return params
        known = {
            self._feasible.key(other.params)
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and set(other.params) == set(self._distributions)
        }
        rng = np.random.default_rng((self._seed, trial.number))
        centre = to_unit(self._distributions, params)
        params = self._feasible.project(params)
        for attempt in range(TRIES):
            if self._feasible.key(params) not in known:
                break
            step = rng.normal(0, 0.5 * (attempt + 1) / TRIES, len(centre))
            point = np.clip(centre + step, 0, 1)
            params = self._feasible.project(from_unit(self._distributions, point))
        return params

    def probe(self) -> Params:
        """The point that others are compared with."""
        middle = from_unit(self._distributions, [0.5] * len(self._distributions))
        return middle if self._feasible is None else {**middle, **self._feasible.probe()}

    def design_of(self, number: int) -> str | None:
        """Source of a trial's point: ``warm start``, ``probe`` or ``sobol``; None: the sampler."""
        if number < len(self._warm_start):
            return "warm start"
        number -= len(self._warm_start)
        if number >= self._design:
            return None
        return "sobol" if number else "probe"

    def _propose(self, study: Study, trial: FrozenTrial) -> Params:
        design = self.design_of(trial.number)
        if design == "warm start":
            return {**self.probe(), **self._warm_start[trial.number]}
        free = dict(self._distributions)
        if self._feasible is not None and len(free) > 1:
            del free[self._feasible.solved]
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if design == "sobol" or not done:
            return from_unit(self._distributions, self._sobol(trial.number))
        sampler = self._make(self._seed * SEEDS + trial.number)
        sampler.before_trial(study, trial)
        params = sampler.sample_relative(study, trial, free)
        for name in free:  # what samplers leave out: all of it, if they know no relations
            if name not in params:
                params[name] = sampler.sample_independent(study, trial, name, free[name])
        probe = self.probe()
        return {name: params.get(name, probe[name]) for name in self._distributions}

    def _sobol(self, number: int) -> np.ndarray:
        """A point [d] of the unit cube."""
        sobol = qmc.Sobol(len(self._distributions), scramble=True, rng=self._seed)
        return sobol.random(1 << (number + 1).bit_length())[number]

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Samplers made for one trial have nothing to keep."""

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        raise ValueError(f"expected a setting of the search space, got {param_name!r}")


def check_point(distributions: Distributions, point: Mapping[str, Any]) -> None:
    """Raise a ValueError for settings that are not searched, or values outside what is."""
    for name, value in point.items():
        if name not in distributions:
            raise ValueError(
                f"expected points of warm_start with {', '.join(distributions)}; got {name!r}"
            )
        distribution = distributions[name]
        try:
            inside = distribution._contains(distribution.to_internal_repr(value))
        except (ValueError, TypeError):
            inside = False
        if not inside:
            raise ValueError(
                f"expected {name} of a point of warm_start within {distribution}, got {value!r}"
            )
