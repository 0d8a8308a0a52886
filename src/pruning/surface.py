"""The plans that just keep a budget of parameters: where a search of rates takes place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from src.models.channels import GROUPS, Wiring
from src.pruning.cost import Cost
from src.pruning.plan import PruningSpec, smallest_share

Bounds = Mapping[str, tuple[float, float]]
"""Group -> lowest and highest rate that is searched."""


class BudgetSurface:
    """Moves rates to where the parameters are just within a budget.

    One group removes most when its rate rises from one bound to the other (in the students and
    V1 the late backbone). Its rate is solved for, the others stay as proposed: what a search
    proposes is then what is evaluated, in every coordinate that it may choose. Only where no rate
    of that group meets the budget, the others move, all along the way to their bounds.

    Args:
        spec: what is pruned and how widths are rounded; ``parameters`` is the budget.
        wiring: of the network.
        cost: of the network.
        bounds: of the searched groups; all the network has and ``spec`` gives no rate.

    Attributes:
        budget: largest number of parameters.
        solved: the group that is solved for.

    Raises:
        ValueError: no budget, groups without a rate, or a budget out of reach.
    """

    def __init__(self, spec: PruningSpec, wiring: Wiring, cost: Cost, bounds: Bounds) -> None:
        self.wiring = wiring
        self.cost = cost
        self.bounds = dict(bounds)
        present = [name for name in GROUPS if any(v.group == name for v in wiring.variables)]
        open_ = [n for n in present if n not in bounds and spec.rates[n] is None]
        if open_:
            raise ValueError(
                f"expected every group of the network to be searched or to have a rate, got none "
                f"for {', '.join(open_)}; set pruning.rates.{open_[0]}=RATE"
            )
        if spec.parameters is None:
            raise ValueError(
                "expected a budget for the search, got pruning.parameters=null; set it to a share "
                "of the network's parameters or a number"
            )
        self._given = {n: rate for n, rate in spec.rates.items() if n in present and rate}
        self.spec = dataclasses.replace(spec, parameters=None, rates=dict.fromkeys(GROUPS))
        dense = int(cost.parameters([len(v.channels) for v in wiring.variables]))
        self.budget = int(spec.parameters * dense if spec.parameters <= 1 else spec.parameters)
        low = self._low = {name: pair[0] for name, pair in self.bounds.items()}
        high = self._high = {name: pair[1] for name, pair in self.bounds.items()}
        self.solved = min(self.bounds, key=lambda n: self.parameters({**low, n: high[n]}))
        if self.parameters(high) > self.budget:
            raise ValueError(
                f"expected pruning.parameters of at least {self.parameters(high):,} "
                f"({self.parameters(high) / dense:.3f} of {dense:,}), which the bounds of the "
                f"search allow, got {spec.parameters}; widen the intervals of pruning.rates.*"
            )

    def kept(self, rates: Mapping[str, float]) -> list[int]:
        """Channels that stay of each of the wiring's variables."""
        every = {**dict.fromkeys(GROUPS, 0.0), **self._given, **rates}
        return self.spec.kept(self.wiring, every)

    def parameters(self, rates: Mapping[str, float]) -> int:
        """Parameters of the network that ``rates`` leave."""
        return int(self.cost.parameters(self.kept(rates)))

    def project(self, rates: Mapping[str, float]) -> dict[str, float]:
        """Rates of the searched groups with parameters of at most, and just about, the budget."""
        low, high = self.bounds[self.solved]
        if self._size(rates, low) <= self.budget:  # too small already: the others give back
            return self._between({**rates, self.solved: low}, self._low)
        if self._size(rates, high) > self.budget:
            return self._between(self._high, {**rates, self.solved: high})
        share = smallest_share(lambda t: self._size(rates, low + t * (high - low)), self.budget)
        return {**rates, self.solved: low + share * (high - low)}

    def uniform(self) -> dict[str, float]:
        """The rates equally far from the lower to the upper of their bounds."""
        return self._between(self._high, self._low)

    def _size(self, rates: Mapping[str, float], solved: float) -> int:
        return self.parameters({**rates, self.solved: solved})

    def _between(self, small: Mapping[str, float], large: Mapping[str, float]) -> dict[str, float]:
        """The first plan within the budget on the way from a large network's to a small one's."""

        def at(share: float) -> dict[str, float]:
            return {n: large[n] + share * (small[n] - large[n]) for n in self.bounds}

        return at(smallest_share(lambda share: self.parameters(at(share)), self.budget))
