"""Attention modules."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from src.models.channels import Channels, Site, Wiring


def hidden_units(channels: int, reduction: int, *, least: int = 1) -> int:
    """Width of the hidden layer of a channel gate: channels / reduction, at least ``least``."""
    if reduction < 1:
        raise ValueError(f"expected a channel reduction of at least 1, got {reduction}")
    return max(least, channels // reduction)


class ChannelGate(nn.Module):
    """Scales channels by sigmoid(MLP(mean) + MLP(max)), the MLP shared (CBAM, eq. 2)."""

    def __init__(self, channels: int, hidden: int, *, bias: bool = True) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, hidden, bias=bias)
        self.expand = nn.Linear(hidden, channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        # mean and amax, not adaptive pooling: exporters to edge runtimes know them.
        mean, peak = x.mean(dim=(2, 3)), x.amax(dim=(2, 3))
        gate = torch.sigmoid(self._mlp(mean) + self._mlp(peak))
        return x * gate[:, :, None, None]

    def _mlp(self, pooled: Tensor) -> Tensor:
        return self.expand(torch.relu(self.reduce(pooled)))

    def wire(self, wiring: Wiring, channels: Channels, hidden: Channels) -> None:
        wiring.hidden(self.reduce, self.expand, channels, hidden)


class ChannelPool(nn.Module):
    """Maximum and mean over channels: [B, C, H, W] -> [B, 2, H, W].

    A module of its own because it is where channels that are masked, not yet removed, must be left
    out: zeros would still lower the mean.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)


class SpatialGate(nn.Module):
    """Scales positions by sigmoid(BN(conv7x7([max; mean] over channels))) (CBAM, eq. 3).

    The order max, mean and the batch norm are those of the authors' code; the paper writes
    [mean; max] and no norm.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pool = ChannelPool()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)

    def gate(self, x: Tensor) -> Tensor:
        """The scale of every position, [B, C, H, W] -> [B, 1, H, W]."""
        return torch.sigmoid(self.norm(self.conv(self.pool(x))))

    def wire(self, wiring: Wiring, channels: Channels) -> None:
        wiring.sites.append(Site(self.pool, channels, "pool"))


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al., ECCV 2018) with FeatherFace's residual.

    y = ReLU(spatial(channel(x)) + x); 2ch + h + c + 100 parameters for c channels, h hidden.

    Args:
        channels: of input and output.
        hidden: width of the channel gate's hidden layer; see :func:`hidden_units`.
        residual: False for the paper's y = spatial(channel(x)).
        bias: of the channel gate's two layers.
    """

    def __init__(
        self, channels: int, *, hidden: int, residual: bool = True, bias: bool = True
    ) -> None:
        super().__init__()
        self.residual = residual
        self.channel = ChannelGate(channels, hidden, bias=bias)
        self.spatial = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        gated = self.spatial(self.channel(x))
        return torch.relu(gated + x) if self.residual else gated

    def wire(self, wiring: Wiring, channels: Channels, hidden: Channels) -> Channels:
        self.channel.wire(wiring, channels, hidden)
        self.spatial.wire(wiring, channels)
        return channels


PLUS_LEAST = 4
"""Fewest hidden units of a gate of CBAM_Plus."""


class CBAMPlus(CBAM):
    """CBAM_Plus: a channel gate without biases and with max(c // reduction, 4) hidden units.

    No paper: a proposal of FeatherFace V2's sketch. 2ch + 100 parameters, 612 for 64 channels,
    10% fewer than CBAM with reduction 16. Below 128 channels the floor of 4 makes reductions 16 and
    32 the same network, so "reduction 32" saves nothing there.
    """

    def __init__(self, channels: int, *, reduction: int = 32, residual: bool = True) -> None:
        hidden = hidden_units(channels, reduction, least=PLUS_LEAST)
        super().__init__(channels, hidden=hidden, residual=residual, bias=False)


class SharedCBAM(nn.Module):
    """CBAM_Plus at several places: one channel gate per number of channels, one spatial gate.

    FeatherFace V2's sketch calls it SharedCBAMManager and says gates are shared by their number of
    channels; the published code makes one per place and passes an unknown place's features through
    unchanged. Here places with equally many channels do share.
    For (64, 128, 256) channels 5,732 parameters, wherever and however often they occur. The one
    spatial gate's norm keeps statistics of all places together: in training each place is normed by
    its own batch, in evaluation by that mixture.

    Args:
        channels: of every place, in any order.
        reduction, residual: as of :class:`CBAMPlus`.
    """

    def __init__(
        self, channels: Iterable[int], *, reduction: int = 32, residual: bool = True
    ) -> None:
        super().__init__()
        self.residual = residual
        self.gates = nn.ModuleDict(
            {
                str(c): ChannelGate(c, hidden_units(c, reduction, least=PLUS_LEAST), bias=False)
                for c in sorted(set(channels))
            }
        )
        self.spatial = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        """Gate the features [B, C, H, W] of a place; C is one of the ``channels``."""
        gate = self.gates[str(int(x.shape[1]))]  # a tensor where torch.jit.trace looks on
        gated = self.spatial(gate(x))
        return torch.relu(gated + x) if self.residual else gated
