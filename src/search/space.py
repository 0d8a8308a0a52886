"""What is searched: Hydra's sweep syntax as Optuna distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


class Space(NamedTuple):
    """A search: what varies, and the settings that every trial has."""

    distributions: dict[str, BaseDistribution]
    fixed: tuple[str, ...]
    """``key=value`` as typed."""


def search_space(overrides: Sequence[Override]) -> Space:
    """Read overrides; of several for one key the last counts.

    ``interval(a,b)``, ``range(a,b,step)``, ``choice(a,b)`` and ``a,b`` vary, with ``tag(log,...)``
    evenly in the logarithm and ``int(interval(a,b))`` over whole numbers; the others are fixed.

    Raises:
        ValueError: a sweep that cannot be searched, or nothing that varies.
    """
    last = {override.get_key_element(): override for override in overrides}
    distributions: dict[str, BaseDistribution] = {}
    fixed = []
    for key, override in last.items():
        if override.is_sweep_override():
            distributions[key] = _distribution(key, override)
        else:
            fixed.append(f"{key}={override.get_value_element_as_str()}")
    if not distributions:
        raise ValueError(
            "expected settings to search, got none; add such as "
            "'optimizer.lr=tag(log,interval(1e-4,1e-2))' or kd=none,weighted"
        )
    return Space(distributions, tuple(fixed))


def _distribution(key: str, override: Override) -> BaseDistribution:
    sweep: Any = override.value()
    log = "log" in getattr(sweep, "tags", ())
    try:
        if isinstance(sweep, IntervalSweep):
            if isinstance(sweep.start, int) and isinstance(sweep.end, int):
                return IntDistribution(sweep.start, sweep.end, log=log)
            return FloatDistribution(float(sweep.start or 0), float(sweep.end or 0), log=log)
        if isinstance(sweep, RangeSweep):
            values = list(sweep.range())  # Hydra's: without the end
            if all(isinstance(value, int) for value in values):
                return IntDistribution(values[0], values[-1], step=int(sweep.step), log=log)
            return FloatDistribution(values[0], values[-1], step=float(sweep.step))
        if isinstance(sweep, ChoiceSweep):
            texts = [Override._get_value_element_as_str(choice) for choice in sweep.list]
            return CategoricalDistribution(texts)
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"expected a range with values for {key}, got {override.input_line}: {error}"
        ) from error
    raise ValueError(
        f"expected interval, range or choice for {key}, got {override.get_value_element_as_str()}"
    )
