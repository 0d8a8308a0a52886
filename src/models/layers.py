"""Convolution blocks shared by every detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from src.models.channels import Channels, Wiring


def set_norm_momentum(model: nn.Module, momentum: float | None) -> None:
    """Set the momentum of every batch norm's statistics; None leaves them as they are."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and momentum is not None:
            module.momentum = momentum


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, activation.

    The activation is a LeakyReLU of ``slope``; 0: a ReLU, the faster kernel; None: nothing.

    [B, C_in, H, W] -> [B, C_out, ceil(H / stride), ceil(W / stride)].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        slope: float | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = _activation(slope)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))

    def wire(
        self, wiring: Wiring, inputs: Channels | None, outputs: Channels | None = None
    ) -> Channels:
        """See :mod:`src.models.channels`; a depthwise one has no ``outputs`` of its own."""
        if outputs is None:
            assert inputs is not None  # a depthwise convolution keeps its channels
            return wiring.make(self.conv, None, inputs, norm=self.norm)
        return wiring.make(self.conv, inputs, outputs, norm=self.norm)


class DepthwiseSeparable(nn.Module):
    """3x3 depthwise then 1x1 pointwise, each normed and activated (Howard et al. 2017)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, slope: float) -> None:
        super().__init__()
        self.depthwise = ConvNorm(
            in_channels, in_channels, kernel=3, stride=stride, groups=in_channels, slope=slope
        )
        self.pointwise = ConvNorm(in_channels, out_channels, slope=slope)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))

    def wire(self, wiring: Wiring, inputs: Channels, outputs: Channels) -> Channels:
        return self.pointwise.wire(wiring, self.depthwise.wire(wiring, inputs), outputs)


class SeparableConv(nn.Module):
    """3x3 depthwise then 1x1, with one norm and one ReLU, behind both.

    Xception's separable convolution (Chollet, CVPR 2017), which found that nothing between the two
    trains faster and ends better (section 4.7); it also leaves one pass over the activations less
    to compute. 9 C_in + C_in C_out + 2 C_out parameters.

    [B, C_in, H, W] -> [B, C_out, ceil(H / stride), ceil(W / stride)].
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False
        )
        self.pointwise = ConvNorm(in_channels, out_channels, slope=0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))

    def wire(self, wiring: Wiring, inputs: Channels, outputs: Channels) -> Channels:
        wiring.layer(self.depthwise, None, inputs)
        return self.pointwise.wire(wiring, inputs, outputs)


class ChannelShuffle(nn.Module):
    """Reorders channels so that the groups of a following grouped use mix.

    A gather with a stored index rather than view and transpose: a pruned network keeps an arbitrary
    subset of the channels, which only an index can express. The index is in the state dict, so a
    checkpoint brings its own; a new one deals any number of channels to ``groups`` groups, the
    first ones a channel larger where the numbers do not divide.

    Args:
        channels: number of channels.
        groups: number of groups.
        order: ``interleave`` is ShuffleNet's (Zhang et al., CVPR 2018): one channel of each group
            in turn. ``deinterleave`` is its inverse, which the published FeatherFace code computes:
            every ``groups``-th channel first.
    """

    index: Tensor

    def __init__(self, channels: int, groups: int, *, order: str = "interleave") -> None:
        super().__init__()
        if groups < 1:
            raise ValueError(f"expected at least 1 group of channels to shuffle, got {groups}")
        if order not in ("interleave", "deinterleave"):
            raise ValueError(f"expected order 'interleave' or 'deinterleave', got {order!r}")
        index = sorted(range(channels), key=lambda channel: channel % groups)  # stable
        if order == "interleave":
            index = sorted(range(channels), key=index.__getitem__)
        self.register_buffer("index", torch.tensor(index))

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(1, self.index)

    def is_order(self) -> bool:
        """Whether the index, which a file may have brought, names each channel once."""
        return bool((self.index.sort().values.cpu() == torch.arange(len(self.index))).all())

    def wire(self, wiring: Wiring, inputs: Channels) -> Channels:
        wiring.shuffles.append((self, inputs))
        return inputs[self.index.cpu().numpy()]


class PerLevel(nn.ModuleList):
    """Applies its i-th module to the i-th level of a feature pyramid: list in, list out."""

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        return [module(level) for module, level in zip(self, levels, strict=True)]

    def wire(
        self, wiring: Wiring, levels: Sequence[Channels], *arguments: Sequence[Any]
    ) -> list[Channels]:
        """Each level's module with its own of each of the ``arguments``."""
        return [
            module.wire(wiring, *each)
            for module, *each in zip(self, levels, *arguments, strict=True)
        ]


def _activation(slope: float | None) -> nn.Module:
    if slope is None:
        return nn.Identity()
    return nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)
