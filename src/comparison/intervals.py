"""Means over seeds and differences between settings, with their uncertainty."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


class Spread(NamedTuple):
    """Mean and standard deviation over ``num`` seeds; the deviation of one seed is NaN."""

    mean: float
    deviation: float
    num: int


class Difference(NamedTuple):
    """A difference of means and the half width of its confidence interval.

    ``half_width`` is NaN where one seed gives no uncertainty. ``kind`` says how it was computed:
    ``paired`` by seed, ``unpaired`` (Welch), or ``none``.
    """

    mean: float
    half_width: float
    kind: str


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation (n - 1 in the denominator) of one value per seed."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return Spread(float(np.mean(values)), deviation, len(values))


def difference(values: Mapping[int | None, float], base: Mapping[int | None, float]) -> Difference:
    """How far ``values`` lie above ``base``, both by seed, with a t-interval of ``CONFIDENCE``.

    The same seeds on both sides are paired: what a seed does to both settings cancels. Otherwise
    the samples are taken as independent, with variances of their own (Welch 1947, degrees of
    freedom of Satterthwaite 1946).
    """
    ours = list(values.values())
    if values.keys() == base.keys():
        theirs = [base[seed] for seed in values]
        changes = np.subtract(ours, theirs)
        kind, mean, constant = "paired", float(np.mean(changes)), np.ptp(changes) == 0
    else:
        theirs = list(base.values())
        mean = float(np.mean(ours)) - float(np.mean(theirs))
        kind, constant = "unpaired", np.ptp(ours) == np.ptp(theirs) == 0
    if min(len(ours), len(theirs)) == 1:
        return Difference(mean, math.nan, "none")
    if constant:  # every seed gave the same: no test, and no uncertainty
        return Difference(mean, 0.0, kind)
    with warnings.catch_warnings():  # of nearly equal changes: no user can act on it
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        test: Any = (
            stats.ttest_rel(ours, theirs)
            if kind == "paired"
            else stats.ttest_ind(ours, theirs, equal_var=False)
        )
    low, high = test.confidence_interval(CONFIDENCE)
    return Difference(mean, float(high - low) / 2, kind)
