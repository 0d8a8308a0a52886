"""Context modules: widen the receptive field of a pyramid level before its heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from src.models.channels import Channels, Wiring
from src.models.deformable import DeformableConv
from src.models.layers import ConvNorm

SLOPE = 0.1


class DeformableNorm(nn.Module):
    """Deformable convolution, batch norm and optionally a LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, slope: float | None = None) -> None:
        super().__init__()
        self.conv = DeformableConv(in_channels, out_channels)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.Identity() if slope is None else nn.LeakyReLU(slope, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))

    def wire(self, wiring: Wiring, inputs: Channels, outputs: Channels) -> Channels:
        for steering in (self.conv.offset, self.conv.modulation):
            wiring.layer(steering, inputs, None)
        return wiring.make(self.conv, inputs, outputs, norm=self.norm)


class SSHWidths(NamedTuple):
    """Output channels of the convolutions of an SSH context."""

    branch3: int
    shared: int
    branch5: int
    branch7_first: int
    branch7_second: int
    branch1: int | None = None
    """None: there is no 1x1 branch."""

    @classmethod
    def dense(cls, channels: int, *, pointwise: bool = False) -> SSHWidths:
        """Half of the output from the 3x3 branch, a quarter from each of the others.

        With a ``pointwise`` branch, a quarter from each of the four.
        """
        if channels % 4:
            raise ValueError(f"expected a number of channels divisible by 4, got {channels}")
        quarter = channels // 4
        return cls(*[quarter] * 6) if pointwise else cls(channels // 2, *[quarter] * 4)

    @property
    def total(self) -> int:
        """Channels of the context's output."""
        return self.branch3 + self.branch5 + self.branch7_second + (self.branch1 or 0)


class _Windows(nn.Module):
    """Stacked 3x3 convolutions that stand for 3x3, 5x5 and 7x7 windows (SSH)."""

    def __init__(
        self, channels: int, widths: SSHWidths, conv: Callable[..., nn.Module], slope: float
    ) -> None:
        super().__init__()
        self.branch3 = conv(channels, widths.branch3)
        self.shared = conv(channels, widths.shared, slope=slope)
        self.branch5 = conv(widths.shared, widths.branch5)
        self.branch7_first = conv(widths.shared, widths.branch7_first, slope=slope)
        self.branch7_second = conv(widths.branch7_first, widths.branch7_second)
        self.branch1: nn.Module | None = None
        if widths.branch1 is not None:
            self.branch1 = conv(channels, widths.branch1, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.shared(x)
        seven = self.branch7_second(self.branch7_first(shared))
        branches = [self.branch3(x), self.branch5(shared), seven]
        if self.branch1 is not None:
            branches.append(self.branch1(x))
        return torch.relu(torch.cat(branches, dim=1))

    def wire(self, wiring: Wiring, x: Channels, widths: Mapping[str, Channels]) -> Channels:
        """``widths``: the channels of each field of :class:`SSHWidths`."""

        def each(name: str, inputs: Channels) -> Channels:
            return getattr(self, name).wire(wiring, inputs, widths[name])

        shared = each("shared", x)
        seven = each("branch7_second", each("branch7_first", shared))
        branches = [each("branch3", x), each("branch5", shared), seven]
        if self.branch1 is not None:
            branches.append(each("branch1", x))
        return np.concatenate(branches)


class SSH(_Windows):
    """SSH context (Najibi et al., ICCV 2017, fig. 4), plain or grouped convolutions.

    Published: a 3x3 branch, and a context branch whose stacked 3x3 stand for 5x5 and 7x7 windows,
    their first convolution shared. Here, as in RetinaFace: a norm after each convolution and one
    ReLU at the end; ours are LeakyReLUs between stacked convolutions and the ``groups``. The
    documents of Nano-B Enhanced draw a fourth branch, 1x1, which no publication has:
    ``widths.branch1`` adds it.

    [B, C, H, W] -> [B, widths.total, H, W].
    """

    def __init__(
        self, channels: int, widths: SSHWidths, *, groups: int = 1, slope: float = SLOPE
    ) -> None:
        conv = partial(ConvNorm, kernel=3, groups=groups)  # its kernel= can be overridden
        super().__init__(channels, widths, conv, slope)


class DeformableSSH(_Windows):
    """SSH context (Najibi et al., ICCV 2017) with deformable convolutions.

    [B, C, H, W] -> [B, widths.total, H, W].

    Args:
        channels: C.
        widths: of its convolutions.
        slope: of the LeakyReLUs between them.
    """

    def __init__(self, channels: int, widths: SSHWidths, *, slope: float = SLOPE) -> None:
        super().__init__(channels, widths, DeformableNorm, slope)


class ConvContext(nn.Module):
    """One 3x3 convolution, norm, ReLU: the context of the ``v1_487103`` variant."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = ConvNorm(channels, width, kernel=3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x))

    def wire(self, wiring: Wiring, inputs: Channels, outputs: Channels) -> Channels:
        return self.conv.wire(wiring, inputs, outputs)


class ChannelMixer(nn.Module):
    """1x1 to half, 3x3 depthwise, 1x1 back, ReLU, after the shuffle of ``v1_592371``."""

    def __init__(self, channels: int, *, reduce: int, expand: int) -> None:
        super().__init__()
        self.reduce = ConvNorm(channels, reduce)
        self.depthwise = ConvNorm(reduce, reduce, kernel=3, groups=reduce)
        self.expand = ConvNorm(reduce, expand)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.expand(self.depthwise(self.reduce(x))))

    def wire(
        self, wiring: Wiring, inputs: Channels, reduce: Channels, expand: Channels
    ) -> Channels:
        reduced = self.depthwise.wire(wiring, self.reduce.wire(wiring, inputs, reduce))
        return self.expand.wire(wiring, reduced, expand)
