"""Which trial of a search is the best: by what all trials say of it, not by its own luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from src.search.coordinates import Distributions, to_unit
from src.search.posterior import GaussianProcess
from src.search.study import CACHED

FEWEST = 3
"""Trials from which a function is fitted."""

FENCE = 5.0
"""A trial diverged if it is worse than the median by so many times the median's distance from the
best: ten deviations of 25 normal values."""


class Choice(NamedTuple):
    """The best trial, and what is believed of every trial that was measured."""

    trial: FrozenTrial
    means: Mapping[int, float]
    """Number of the trial -> posterior mean of its value."""
    deviations: Mapping[int, float]
    """The same of its deviation; NaN where there were too few trials to tell."""


def choose(
    trials: Sequence[FrozenTrial],
    distributions: Distributions,
    *,
    direction: StudyDirection,
) -> Choice:
    """The trial of the best posterior mean, of the first objective, among those measured.

    The lowest of many noisy values is low by luck, too: its neighbours tell how much. With fewer
    than three trials, that of the best value.

    Args:
        trials: of a study; those without a value are left out.
        distributions: the search space; trials without one of its settings are left out.
        direction: of the objective.

    Raises:
        ValueError: no trial has a value.
    """
    known = measured(trials, distributions)
    if not known:
        raise ValueError(
            f"expected at least one complete trial to choose from, got none of {len(trials)}; see "
            "the errors of the failed ones"
        )
    if len(known) < FEWEST:
        means = np.array([trial.values[0] for trial in known])
        deviations = np.full(len(known), np.nan)
    else:
        process = fit(known, distributions, direction=direction)
        points = np.array([to_unit(distributions, trial.params) for trial in known])
        means, deviations = process.posterior(points)
    best = np.argmax(means) if direction == StudyDirection.MAXIMIZE else np.argmin(means)
    numbers = [trial.number for trial in known]
    return Choice(
        trial=known[int(best)],
        means=dict(zip(numbers, map(float, means), strict=True)),
        deviations=dict(zip(numbers, map(float, deviations), strict=True)),
    )


def measured(trials: Sequence[FrozenTrial], distributions: Distributions) -> list[FrozenTrial]:
    """The complete trials with a finite value and all settings; each measurement once."""
    found = {
        trial.number: trial
        for trial in trials
        if trial.state == TrialState.COMPLETE
        and np.isfinite(trial.values[0])
        and set(distributions) <= set(trial.params)
    }
    # An answer from the cache is no second measurement: it would speak against any noise.
    return [t for t in found.values() if t.user_attrs.get(CACHED) not in found]


def fit(
    trials: Sequence[FrozenTrial], distributions: Distributions, *, direction: StudyDirection
) -> GaussianProcess:
    """The function behind the values of ``measured`` trials, on the unit cube.

    A trial that diverged says where not to go, not how far: it counts as the worst of the others,
    or the differences between these would vanish beside it.
    """
    points = np.array([to_unit(distributions, trial.params) for trial in trials])
    values = np.array([trial.values[0] for trial in trials])
    sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
    return GaussianProcess.fit(points, sign * np.minimum(sign * values, worst(sign * values)))


def worst(losses: np.ndarray) -> float:
    """The largest of the losses [N] that did not diverge."""
    best, median = float(losses.min()), float(np.median(losses))
    # Where half of them are the best, nothing says how much losses differ.
    fence = median + FENCE * (median - best) if median > best else np.inf
    return float(losses[losses <= fence].max())
