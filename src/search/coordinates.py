"""Points of a search space as points of the unit cube, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Distributions = Mapping[str, BaseDistribution]
"""What is searched: the name of a setting -> its values."""


def to_unit(distributions: Distributions, params: Mapping[str, Any]) -> np.ndarray:
    """Values as a point [d] of the unit cube, in the order of ``distributions``.

    Logarithmic ranges are even in the logarithm; choices lie evenly, in the order they were given.
    """
    point = []
    for name, distribution in distributions.items():
        low, high, log, step = _range(distribution)
        value = distribution.to_internal_repr(params[name])
        if log:
            half = 0.0 if step is None else 0.5
            low, high, value = math.log(low - half), math.log(high + half), math.log(value)
        point.append(0.5 if high == low else (value - low) / (high - low))
    return np.array(point)


def from_unit(distributions: Distributions, point: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """The values at a point [d] of the unit cube; whole numbers and choices take equal shares."""
    params: dict[str, Any] = {}
    for (name, distribution), place in zip(distributions.items(), point, strict=True):
        low, high, log, step = _range(distribution)
        place = float(place)
        if step is not None and log:  # each value has as much of the cube as the others
            least, most = math.log(low - 0.5), math.log(high + 0.5)
            value = float(round(math.exp(least + place * (most - least))))
        elif step is not None:
            count = round((high - low) / step) + 1
            value = low + step * min(int(place * count), count - 1)
        elif log:
            value = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
        else:
            value = low + place * (high - low)
        params[name] = distribution.to_external_repr(min(max(value, low), high))
    return params


def _range(distribution: BaseDistribution) -> tuple[float, float, bool, float | None]:
    """Lowest and highest value, as Optuna stores them, whether their logarithms are even, and the
    distance of neighbouring values; None where there are none."""
    if isinstance(distribution, CategoricalDistribution):
        return 0.0, float(len(distribution.choices) - 1), False, 1.0
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    return float(distribution.low), float(distribution.high), distribution.log, distribution.step
