"""Whether the network at the end is what was asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple


class Goal(NamedTuple):
    """A target and what was reached."""

    name: str
    target: float
    reached: float
    unit: str

    @property
    def met(self) -> bool:
        """All targets are upper bounds. NaN meets none."""
        return self.reached <= self.target

    @property
    def sentence(self) -> str:
        """Whether it is met, and by how much."""
        if math.isnan(self.reached):
            asked = f"{_number(self.target)}{self.unit}"
            return f"{self.name}: not measured; asked for {asked} at most."
        by = abs(self.target - self.reached)
        return (
            f"{self.name}: {'met' if self.met else 'not met'}, {_number(self.reached)}{self.unit} "
            f"of at most {_number(self.target)}{self.unit}, {_number(by)}{self.unit} "
            f"{'below' if self.met else 'above'}."
        )


def judge(
    target: Mapping[str, float | None], before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[Goal]:
    """Compare two networks with the targets.

    Args:
        target: ``parameters``, ``max_ap_loss`` (points of AP, mean of the levels) and ``latency``
            (milliseconds an image); None is not asked for.
        before: of the network before pruning, a row of what ``src.measure`` writes: ``metrics``.
        after: of the network at the end: ``parameters``, ``metrics``, ``median`` (seconds).
    """
    reached = {
        "parameters": ("Parameters", float(after["parameters"]), ""),
        "max_ap_loss": ("AP lost", 100 * (_ap(before) - _ap(after)), " points"),
        "latency": ("Time of one image", 1000 * float(after["median"]), " ms"),
    }
    return [
        Goal(reached[name][0], float(bound), *reached[name][1:])
        for name, bound in target.items()
        if bound is not None
    ]


def _ap(row: Mapping[str, Any]) -> float:
    value = (row.get("metrics") or {}).get("ap")
    return math.nan if value is None else float(value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}".rstrip("0").rstrip(".")
