"""Context modules: widen the receptive field of a pyramid level before its heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from src.models.deformable import DeformableConv
from src.models.layers import ConvNorm


class DeformableNorm(nn.Module):
    """Deformable convolution, batch norm and optionally a LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, slope: float | None = None) -> None:
        super().__init__()
        self.conv = DeformableConv(in_channels, out_channels)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.Identity() if slope is None else nn.LeakyReLU(slope, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


class DeformableSSH(nn.Module):
    """SSH context (Najibi et al., ICCV 2017) with deformable convolutions, C -> C channels.

    Stacked 3x3 convolutions stand for 3x3, 5x5 and 7x7 windows; the first is shared by the two
    larger ones. Output channels: C/2 of the 3x3 branch, C/4 of each of the others.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels % 4:
            raise ValueError(f"expected a number of channels divisible by 4, got {channels}")
        half, quarter = channels // 2, channels // 4
        slope = 0.1 if channels <= 64 else 0.0  # the published rule
        self.branch3 = DeformableNorm(channels, half)
        self.shared = DeformableNorm(channels, quarter, slope=slope)
        self.branch5 = DeformableNorm(quarter, quarter)
        self.branch7_first = DeformableNorm(quarter, quarter, slope=slope)
        self.branch7_second = DeformableNorm(quarter, quarter)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.shared(x)
        seven = self.branch7_second(self.branch7_first(shared))
        return torch.relu(torch.cat([self.branch3(x), self.branch5(shared), seven], dim=1))


class ConvContext(nn.Module):
    """One 3x3 convolution, norm, ReLU: the context of the ``v1_487103`` variant."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvNorm(channels, channels, kernel=3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x))


class ChannelMixer(nn.Module):
    """1x1 to half, 3x3 depthwise, 1x1 back, ReLU, after the shuffle of ``v1_592371``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = ConvNorm(channels, half)
        self.depthwise = ConvNorm(half, half, kernel=3, groups=half)
        self.expand = ConvNorm(half, channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.expand(self.depthwise(self.reduce(x))))
