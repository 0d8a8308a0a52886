"""Attention modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelGate(nn.Module):
    """Scales channels by sigmoid(MLP(mean) + MLP(max)), the MLP shared (CBAM, eq. 2)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        # mean and amax, not adaptive pooling: exporters to edge runtimes know them.
        mean, peak = x.mean(dim=(2, 3)), x.amax(dim=(2, 3))
        gate = torch.sigmoid(self._mlp(mean) + self._mlp(peak))
        return x * gate[:, :, None, None]

    def _mlp(self, pooled: Tensor) -> Tensor:
        return self.expand(torch.relu(self.reduce(pooled)))


class SpatialGate(nn.Module):
    """Scales positions by sigmoid(BN(conv7x7([max; mean] over channels))) (CBAM, eq. 3).

    The order max, mean and the batch norm are those of the authors' code; the paper writes
    [mean; max] and no norm.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.norm(self.conv(pooled)))


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al., ECCV 2018) with FeatherFace's residual.

    y = ReLU(spatial(channel(x)) + x); 2ch + h + c + 100 parameters for c channels, h hidden.
    """

    def __init__(self, channels: int, *, reduction: int) -> None:
        super().__init__()
        if reduction < 1:
            raise ValueError(f"expected a channel reduction of at least 1, got {reduction}")
        self.channel = ChannelGate(channels, max(1, channels // reduction))
        self.spatial = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.spatial(self.channel(x)) + x)
