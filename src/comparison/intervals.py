"""Means over seeds and differences between settings, with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
    if values.keys() == base.keys():
        changes = spread([values[seed] - base[seed] for seed in values])
        if changes.num == 1:
            return Difference(changes.mean, math.nan, "none")
        error = changes.deviation / math.sqrt(changes.num)
        return Difference(changes.mean, _half_width(error, changes.num - 1), "paired")
    ours, theirs = spread(list(values.values())), spread(list(base.values()))
    mean = ours.mean - theirs.mean
    if min(ours.num, theirs.num) == 1:
        return Difference(mean, math.nan, "none")
    variances = [s.deviation**2 / s.num for s in (ours, theirs)]
    parts = sum(v**2 / (s.num - 1) for v, s in zip(variances, (ours, theirs), strict=True))
    if parts == 0:  # every seed gave the same
        return Difference(mean, 0.0, "unpaired")
    freedom = sum(variances) ** 2 / parts
    return Difference(mean, _half_width(math.sqrt(sum(variances)), freedom), "unpaired")


def _half_width(standard_error: float, freedom: float) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * standard_error
