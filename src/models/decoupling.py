"""Scale decoupling: small and large objects apart in the shallowest level."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.channels import Channels, Wiring
from src.models.layers import ConvNorm

CELLS = 4
"""Side of the averaging window: 32 pixels at stride 8; what it keeps is larger than small faces."""


class ScaleDecoupling(nn.Module):
    """Strengthens small and weakens large structures of the first level of a pyramid.

    The idea is the scale-decoupling module of Ma, Chai, Jin, "Scale Decoupled Pyramid for Object
    Detection in Aerial Images" (IEEE TGRS 61, 2023), which erases features of large objects from
    shallow layers. Its equations were not accessible; these are our own:

        low = upsampled(average over 4 x 4 cells of x)
        e = BN(depthwise 3x3(x - low))                          what is small
        s = sigmoid(expand(ReLU(BN(reduce(low))))) * low        what is large
        a = sigmoid(u * e + v * s + b), per channel             which of the two
        y = x + a e - (1 - a) s

    The paper, and NETNet's neighbour erasing (Li et al., CVPR 2020), take the evidence of what is
    large from a deeper level: ``deep_channels`` adds it, a map from the last level, to the logits
    of s. Starts near the identity: e = 0 (norm weight 0), s = 0.12 low (bias -2).

    [[B, C, H, W], ...] -> the same; 11C + 2Ch + 2h + C + 3C parameters for h hidden.

    Args:
        channels: C, of the first level.
        hidden: h.
        deep_channels: of the last level; None: no deep evidence.
    """

    def __init__(self, channels: int, *, hidden: int, deep_channels: int | None = None) -> None:
        super().__init__()
        self.small = ConvNorm(channels, channels, kernel=3, groups=channels)
        self.large_reduce = ConvNorm(channels, hidden, slope=0.0)
        self.large_expand = nn.Conv2d(hidden, channels, 1)
        self.deep = None if deep_channels is None else nn.Conv2d(deep_channels, 1, 1)
        self.choose_small = nn.Conv2d(channels, channels, 1, groups=channels)
        self.choose_large = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
        nn.init.zeros_(self.small.norm.weight)
        nn.init.constant_(self.large_expand.bias, -2.0)  # type: ignore[arg-type]

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        x = levels[0]
        low = _upsampled(F.avg_pool2d(x, CELLS, CELLS, ceil_mode=True, count_include_pad=False), x)
        small = self.small(x - low)
        logits = self.large_expand(self.large_reduce(low))
        if self.deep is not None:
            logits = logits + _upsampled(self.deep(levels[-1]), x)
        large = torch.sigmoid(logits) * low
        choice = torch.sigmoid(self.choose_small(small) + self.choose_large(large))
        return [x + choice * small - (1 - choice) * large, *levels[1:]]

    def wire(self, wiring: Wiring, levels: list[Channels], hidden: Channels) -> list[Channels]:
        x = levels[0]
        self.small.wire(wiring, x)
        self.large_reduce.wire(wiring, x, hidden)
        wiring.layer(self.large_expand, hidden, x)
        if self.deep is not None:
            wiring.layer(self.deep, levels[-1], None)
        wiring.layer(self.choose_small, None, x)
        wiring.layer(self.choose_large, None, x)
        return levels


def _upsampled(x: Tensor, target: Tensor) -> Tensor:
    return F.interpolate(x, size=target.shape[-2:], mode="bilinear", align_corners=False)
