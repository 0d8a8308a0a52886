"""Which channels every tensor of a network has: what pruning takes away, wherever it occurs.

A filter that goes takes with it its norm, its input places in every layer that reads it, its place
in gates, concatenations and shuffles. Each module says in its ``wire`` method, beside ``forward``,
how its tensors are laid out along the channels it is given; walking a network from the image to the
heads thus fills a :class:`Wiring`, the one description that scores, masks, surgery and cost share.

Every channel has a number, its id: :data:`Channels` are ids in the order of a tensor's axis.
Concatenation joins them and a shuffle permutes them, so no layer needs to know where its inputs
came from.

Graph tracers (torch-pruning 1.6.1) were tried instead: exact on plain convolutions, but silently
wrong behind a channel shuffle, and they leave a neck with fusion weights and gates unpruned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from torch import nn

GROUPS = ("backbone_early", "backbone_late", "cbam", "bifpn", "ssh", "heads")
"""Parts of a network that pruning treats alike, in the order of the data flow."""

Channels = np.ndarray
"""Ids [C] of the channels along an axis, int64."""


class Width(NamedTuple):
    """A number of channels that pruning may lower."""

    size: int
    """Channels before pruning."""
    group: str
    """One of :data:`GROUPS`."""
    least: int = 1
    """Pruning leaves at least this many."""


class Variable(NamedTuple):
    """Channels among which pruning chooses."""

    names: tuple[str, ...]
    """The widths that this choice sets: several where places must keep the same channels."""
    group: str
    least: int
    channels: Channels

    @property
    def name(self) -> str:
        return self.names[0]


class Coupling(NamedTuple):
    """A parameter or buffer with a place for each of some channels."""

    module: nn.Module
    attribute: str
    axes: tuple[Channels | None, ...]
    """The channels along each dimension from the first; None: pruning leaves its length alone."""
    groups: int = 1
    """Groups of a grouped convolution: its second axis holds one group's share of the inputs."""


class Filters(NamedTuple):
    """A layer that makes channels: what their importance is judged by."""

    layer: nn.Module
    channels: Channels
    norm: nn.Module | None
    reader: nn.Module | None = None
    """The layer that alone reads a hidden layer, and is judged with it."""


class Site(NamedTuple):
    """A module at whose output channels are masked."""

    module: nn.Module
    channels: Channels
    kind: str
    """``scale``: the output is multiplied; ``logits``: they enter a softmax over the channels;
    ``pool``: the module pools over the channels."""


class Product(NamedTuple):
    """A product of two activations, at every output position of ``module``."""

    module: nn.Module
    axes: tuple[Channels, Channels]


class Wiring:
    """The channels of a network; ``wire`` methods add to it.

    Args:
        widths: name -> what may be pruned.
        sizes: name -> channels that the network has now.
        tied: names of widths whose channels go together, as (first, other) pairs.

    Attributes:
        variables: what pruning chooses among, in the order of ``widths``.
        couplings, filters, sites, products, shuffles: see their types; ``shuffles`` are
            (module, channels of its input).
    """

    def __init__(
        self,
        widths: Mapping[str, Width],
        sizes: Mapping[str, int],
        *,
        tied: Mapping[str, str] | None = None,
    ) -> None:
        tied = tied or {}
        self.variables: list[Variable] = []
        self.couplings: list[Coupling] = []
        self.filters: list[Filters] = []
        self.sites: list[Site] = []
        self.products: list[Product] = []
        self.shuffles: list[tuple[nn.Module, Channels]] = []
        self.num_channels = 0
        self._channels: dict[str, Channels] = {}
        self._blocks: dict[str, int] = {}
        for name, width in widths.items():
            if name in tied:
                self._channels[name] = self._channels[tied[name]]
                continue
            ids = np.arange(self.num_channels, self.num_channels + sizes[name])
            self.num_channels += sizes[name]
            self._channels[name] = ids
            names = (name, *(other for other, first in tied.items() if first == name))
            self.variables.append(Variable(names, width.group, width.least, ids))

    def __getitem__(self, name: str) -> Channels:
        """The channels of a width."""
        return self._channels[name]

    def blocks(self, variable: Variable) -> int:
        """Number of equal parts that must keep equally many channels: groups of convolutions."""
        if variable.name not in self._blocks:  # asked for at every step of a soft pruning
            groups = [
                coupling.groups
                for coupling in self.couplings
                if any(axis is not None and variable.channels[0] in axis for axis in coupling.axes)
            ]
            self._blocks[variable.name] = math.lcm(*groups)
        return self._blocks[variable.name]

    # What wire methods say

    def layer(self, layer: nn.Module, inputs: Channels | None, outputs: Channels | None) -> None:
        """A convolution or linear layer; None where nothing can be pruned (image, predictions).

        Depthwise convolutions have no ``inputs``: their kernels follow the ``outputs`` alone.
        """
        groups = getattr(layer, "groups", 1) if inputs is not None else 1
        self.couplings.append(Coupling(layer, "weight", (outputs, inputs), groups))
        if getattr(layer, "bias", None) is not None:
            self.couplings.append(Coupling(layer, "bias", (outputs,)))

    def make(
        self,
        layer: nn.Module,
        inputs: Channels | None,
        outputs: Channels,
        *,
        norm: nn.Module | None = None,
        kind: str | None = "scale",
    ) -> Channels:
        """A layer that makes channels, with the norm behind it; returns them.

        ``kind`` is that of the :class:`Site` behind it; None: none, what reads them is masked.
        """
        self.layer(layer, inputs, outputs)
        if norm is not None:
            for attribute in ("weight", "bias", "running_mean", "running_var"):
                self.couplings.append(Coupling(norm, attribute, (outputs,)))
        self.filters.append(Filters(layer, outputs, norm))
        if kind is not None:
            self.sites.append(Site(layer if norm is None else norm, outputs, kind))
        return outputs

    def hidden(
        self, reduce: nn.Module, expand: nn.Module, channels: Channels, hidden: Channels
    ) -> None:
        """Two layers from ``channels`` to a hidden layer and back."""
        self.layer(reduce, channels, hidden)
        self.layer(expand, hidden, channels)
        self.filters.append(Filters(reduce, hidden, None, expand))
        self.sites.append(Site(reduce, hidden, "scale"))


def narrowed(table: Mapping[str, Width], widths: Mapping[str, int] | None) -> dict[str, int]:
    """The sizes of ``table`` with those of ``widths`` in their place.

    Raises:
        ValueError: no table of widths, an unknown name, or a width below 1 or above the dense one.
    """
    if not isinstance(widths, Mapping | None):
        raise ValueError(
            f"expected widths as a table of name: channels, got {widths!r}; null keeps all dense"
        )
    for name, width in (widths or {}).items():
        if name not in table:
            raise ValueError(f"expected widths of {', '.join(table)}; got {name!r}")
        if type(width) is not int or not 1 <= width <= table[name].size:
            raise ValueError(
                f"expected width {name} from 1 to {table[name].size}, got {width!r}; "
                f"widths only narrow a network, channels= widens it"
            )
    return {name: width.size for name, width in table.items()} | dict(widths or {})
