"""How much of each group of layers goes, and how many channels that leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from src.models.channels import GROUPS, Variable, Wiring
from src.pruning.cost import Cost
from src.pruning.importance import IMPORTANCES
from src.pruning.reconstruction import DAMPING, RECONSTRUCTIONS

CRITERIA = (*IMPORTANCES, "reconstruction")
"""What ``pruning.importance`` may be: of the weights alone, or by what images lose
(:mod:`src.pruning.elimination`)."""
STEPS = 30
"""Bisections of the way between the bounds: finer than any rounding of widths."""


class Plan(NamedTuple):
    """The rates and widths to which one network is pruned."""

    rates: dict[str, float]
    """Group -> share of its filters that goes."""
    kept: list[int]
    """Channels that stay of each of the wiring's variables."""


@dataclass(frozen=True, kw_only=True)
class PruningSpec:
    """What to prune, before the network is known.

    Args:
        rates: group -> share of its filters that goes; None: as much as ``parameters`` asks.
        bounds: group -> lowest and highest rate.
        parameters: of the pruned network, a share of the present ones up to 1 or a number: every
            group without a rate goes equally far from the lower to the upper of its bounds; None:
            such groups stay at the lower. Where all have rates, these decide.
        multiple: widths are rounded to multiples of this where they can be; 1: not at all.
        importance: one of :data:`CRITERIA`.
        bn_fold: fold norms into the filters that are compared.
        seed: of ``importance=random``.
        reconstruction: ``least_squares`` refits what reads the channels that stay
            (:mod:`src.pruning.reconstruction`); None: weights stay as they are.
        num_images: training images by which channels are ranked and layers refit.
        damping: of both, see :func:`src.pruning.reconstruction.reconstruct`.

    Raises:
        ValueError: unknown groups, bounds that are not [lowest, highest], rates outside them, an
            unknown criterion or reconstruction, or numbers out of range.
    """

    rates: Mapping[str, float | None]
    bounds: Mapping[str, Sequence[float]]
    parameters: float | None = None
    multiple: int = 1
    importance: str = "fpgm"
    bn_fold: bool = True
    seed: int = 0
    reconstruction: str | None = None
    num_images: int = 256
    damping: float = DAMPING

    def __post_init__(self) -> None:
        for what, names in (("rates", self.rates), ("bounds", self.bounds)):
            if set(names) != set(GROUPS):
                raise ValueError(
                    f"expected pruning.{what} of the groups {', '.join(GROUPS)}, got "
                    f"{', '.join(names)}"
                )
        for name in GROUPS:
            pair, rate = self.bounds[name], self.rates[name]
            if len(pair) != 2 or not 0 <= pair[0] <= pair[1] < 1:
                raise ValueError(
                    f"expected pruning.bounds.{name} as [lowest, highest] from 0 to below 1, where "
                    f"no filter would be left, got {list(pair)}"
                )
            if rate is not None and not pair[0] <= rate <= pair[1]:
                raise ValueError(
                    f"expected pruning.rates.{name} from {pair[0]} to {pair[1]}, got {rate}; "
                    f"pruning.bounds.{name}=[lowest,highest] allows others"
                )
        if self.parameters is not None and not self.parameters > 0:
            raise ValueError(
                "expected pruning.parameters above 0, a share of the network's up to 1 or a "
                f"number, got {self.parameters}"
            )
        if self.multiple < 1:
            raise ValueError(f"expected pruning.multiple of at least 1, got {self.multiple}")
        if self.seed < 0:
            raise ValueError(f"expected pruning.seed of at least 0, got {self.seed}")
        if self.importance not in CRITERIA:
            raise ValueError(
                f"expected pruning.importance of {', '.join(CRITERIA)}; got {self.importance!r}"
            )
        if self.reconstruction not in RECONSTRUCTIONS:
            raise ValueError(
                "expected pruning.reconstruction of null (weights stay as they are) or "
                f"least_squares, got {self.reconstruction!r}"
            )
        if self.num_images < 1 or self.damping < 0:
            raise ValueError(
                "expected pruning.num_images of at least 1 and pruning.damping of at least 0, got "
                f"{self.num_images} and {self.damping}"
            )

    @property
    def images_needed(self) -> int:
        """Training images that choice and refit ask for; 0: the weights alone decide."""
        by_images = self.importance == "reconstruction" or self.reconstruction is not None
        return self.num_images if by_images else 0

    def plan(self, wiring: Wiring, cost: Cost) -> Plan:
        """The rates and widths for one network.

        Raises:
            ValueError: the bounds do not allow ``parameters``, or a rate is given for a group of
                which the network has nothing.
        """
        present = {variable.group for variable in wiring.variables}
        for name, rate in self.rates.items():
            if rate and name not in present:
                raise ValueError(
                    f"expected pruning.rates.{name}=null for a network without filters of that "
                    f"group, got {rate}; it has {', '.join(g for g in GROUPS if g in present)}"
                )
        low = self._at(0.0, present)
        dense = [len(variable.channels) for variable in wiring.variables]
        if self.multiple > max(dense):
            raise ValueError(
                f"expected pruning.multiple of at most {max(dense)}, the widest layer, got "
                f"{self.multiple}"
            )
        if self.parameters is None or all(self.rates[name] is not None for name in present):
            return Plan(low, self.kept(wiring, low))
        whole = int(cost.parameters(dense))
        budget = self.parameters * whole if self.parameters <= 1 else self.parameters

        def size(share: float) -> int:
            return int(cost.parameters(self.kept(wiring, self._at(share, present))))

        if size(1.0) > budget:
            raise ValueError(
                f"expected pruning.parameters of at least {size(1.0):,} ({size(1.0) / whole:.3f} "
                f"of {whole:,}), which the bounds allow, got {self.parameters}; widen "
                "pruning.bounds.GROUP=[lowest,highest]"
            )
        rates = self._at(smallest_share(size, budget), present)
        return Plan(rates, self.kept(wiring, rates))

    def kept(self, wiring: Wiring, rates: Mapping[str, float]) -> list[int]:
        """Channels that stay of each of the wiring's variables."""
        return [
            kept_channels(variable, rates[variable.group], wiring.blocks(variable), self.multiple)
            for variable in wiring.variables
        ]

    def _at(self, share: float, present: set[str]) -> dict[str, float]:
        """The rates with those that are not given ``share`` of the way between their bounds."""
        rates = {}
        for name in GROUPS:
            low, high = self.bounds[name]
            given = self.rates[name]
            rates[name] = low + share * (high - low) if given is None else float(given)
        return {name: rate if name in present else 0.0 for name, rate in rates.items()}


def smallest_share(size: Callable[[float], int], budget: float) -> float:
    """The smallest share from 0 to 1 at which a falling size is within the budget."""
    below, above = 0.0, 1.0  # too large, small enough
    if size(below) <= budget:
        return below
    for _ in range(STEPS):
        middle = (below + above) / 2
        below, above = (below, middle) if size(middle) <= budget else (middle, above)
    return above


def kept_channels(variable: Variable, rate: float, blocks: int = 1, multiple: int = 1) -> int:
    """Channels that ``rate`` leaves of a variable.

    max(least, q floor((1 - rate) C / q + 1/2)): the nearest number that the q = ``blocks`` of
    grouped convolutions divide. With ``multiple``, the nearest that this divides too, for variables
    that have at least twice as many channels; hidden units of attention are too few.
    """
    size = len(variable.channels)
    if rate <= 0:
        return size
    step = math.lcm(blocks, multiple)
    if 2 * step > size:
        step = blocks
    least = step * math.ceil(variable.least / step)
    return min(size, max(least, step * math.floor((1 - rate) * size / step + 0.5)))


def keep(wiring: Wiring, scores: np.ndarray, kept: Sequence[int]) -> np.ndarray:
    """Which channels stay: in each block of each variable those of the highest scores.

    Args:
        wiring: of the network.
        scores: of every channel, by id.
        kept: channels that stay of each variable.

    Returns:
        bool by id; of equal scores the first go.
    """
    chosen = np.ones(wiring.num_channels, bool)
    for variable, count in zip(wiring.variables, kept, strict=True):
        blocks = wiring.blocks(variable)
        for block in np.split(variable.channels, blocks):
            lowest = np.argsort(scores[block], kind="stable")
            chosen[block[lowest[: len(block) - count // blocks]]] = False
    return chosen


def realised_rates(wiring: Wiring, kept: np.ndarray) -> dict[str, float]:
    """Group -> share of its channels that are gone; small variables round coarsely."""
    rates = {}
    for name in GROUPS:
        ids = [variable.channels for variable in wiring.variables if variable.group == name]
        if ids:
            rates[name] = 1.0 - float(kept[np.concatenate(ids)].mean())
    return rates


def widths_table(wiring: Wiring, kept: np.ndarray) -> list[dict[str, Any]]:
    """Every width before and after, as plain values: ``name``, ``group``, ``before``, ``after``."""
    return [
        {
            "name": name, "group": variable.group,
            "before": len(variable.channels), "after": int(kept[variable.channels].sum()),
        }
        for variable in wiring.variables
        for name in variable.names
    ]  # fmt: skip
