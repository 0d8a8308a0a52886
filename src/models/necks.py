"""Necks: feature pyramid in, feature pyramid of one width out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.channels import Channels, Wiring
from src.models.layers import ConvNorm, PerLevel, SeparableConv

EPSILON = 1e-4


def normalised(weight: Tensor) -> Tensor:
    """Fusion weights, at least 0 and with a sum of nearly 1 along the last axis."""
    weight = torch.relu(weight)
    return weight / (weight.sum(-1, keepdim=True) + EPSILON)


class Fusion(nn.Module):
    """One BiFPN node: normalised weighted sum, SiLU, 3x3 depthwise, 1x1, batch norm.

    O = sum_i w_i I_i / (eps + sum_j w_j), w = ReLU(weight) (EfficientDet, Tan et al., CVPR 2020,
    section 3.3, fast normalised fusion).

    Args:
        channels: of inputs and output.
        num_inputs: features that are added.
        num_weights: fusion weights; the published FeatherFace has one too many at its P5 node,
            which multiplies nothing but takes part in the normalisation.
        bias: of the 1x1; the published one has it, though the norm after it takes it away again.
    """

    def __init__(
        self, channels: int, num_inputs: int, *, num_weights: int | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        self.num_inputs = num_inputs
        self.weight = nn.Parameter(torch.ones(num_weights or num_inputs))
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=bias)
        self.norm = _norm(channels)

    def forward(self, *inputs: Tensor) -> Tensor:
        weight = normalised(self.weight)
        total = weight[0] * inputs[0]
        for i in range(1, self.num_inputs):
            total = total + weight[i] * inputs[i]
        return self.norm(self.pointwise(self.depthwise(F.silu(total))))

    def wire(self, wiring: Wiring, channels: Channels) -> None:
        """What is added must have the same channels, and so has the sum."""
        wiring.layer(self.depthwise, None, channels)
        wiring.make(self.pointwise, channels, channels, norm=self.norm)


class Projection(nn.Module):
    """1x1 convolution and batch norm, to the pyramid's width."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=bias)
        self.norm = _norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    def wire(self, wiring: Wiring, inputs: Channels, outputs: Channels) -> Channels:
        return wiring.make(self.conv, inputs, outputs, norm=self.norm)


class BiFPNLayer(nn.Module):
    """One top-down and bottom-up pass over three levels, as FeatherFace V1 has it.

    With ``in_channels`` the inputs are first projected to ``channels``; P4 and P5 then have a
    second projection of their own for the bottom-up pass.

    [[B, C3, H3, W3], [B, C4, H4, W4], [B, C5, H5, W5]] -> the same with ``channels`` each.
    """

    def __init__(self, channels: int, in_channels: Sequence[int] | None = None) -> None:
        super().__init__()
        c3, c4, c5 = in_channels or (None, None, None)
        self.down3, self.down4, self.down5 = (_projection(c, channels) for c in (c3, c4, c5))
        self.up4, self.up5 = (_projection(c, channels) for c in (c4, c5))
        self.p4_down = Fusion(channels, 2)
        self.p3_out = Fusion(channels, 2)
        self.p4_out = Fusion(channels, 3)
        self.p5_out = Fusion(channels, 2, num_weights=3)
        self.pool: nn.Module = SamePool()

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        c3, c4, c5 = levels
        p4 = self.down4(c4)
        p4_down = self.p4_down(p4, _resize(self.down5(c5), p4))
        p3 = self.down3(c3)
        p3_out = self.p3_out(p3, _resize(p4_down, p3))
        p4_out = self.p4_out(self.up4(c4), p4_down, self.pool(p3_out))
        return [p3_out, p4_out, self.p5_out(self.up5(c5), self.pool(p4_out))]

    def wire(
        self, wiring: Wiring, levels: Sequence[Channels], channels: Channels
    ) -> list[Channels]:
        c3, c4, c5 = levels
        projections = (self.down3, self.down4, self.down5, self.up4, self.up5)
        for projection, inputs in zip(projections, (c3, c4, c5, c4, c5), strict=True):
            if isinstance(projection, Projection):
                projection.wire(wiring, inputs, channels)
        for node in (self.p4_down, self.p3_out, self.p4_out, self.p5_out):
            node.wire(wiring, channels)
        return [channels] * len(levels)


class BiFPN(nn.Module):
    """One top-down and bottom-up pass over three levels, as the students have it.

    EfficientDet (Tan et al., CVPR 2020, fig. 3 and section 3.3) on three levels instead of five.
    Differs from V1's :class:`BiFPNLayer`: one projection per level, which both passes use; no bias
    in front of a batch norm; max pooling that pads with -inf; 9 fusion weights, none idle.

    [[B, C3, H3, W3], [B, C4, H4, W4], [B, C5, H5, W5]] -> the same with ``channels`` each, by
    c sum(C) + 6c + 4 (c^2 + 11c) + 9 parameters for c channels.
    """

    def __init__(self, channels: int, in_channels: Sequence[int]) -> None:
        super().__init__()
        self.project = PerLevel(Projection(c, channels, bias=False) for c in in_channels)
        self.p4_down = Fusion(channels, 2, bias=False)
        self.p3_out = Fusion(channels, 2, bias=False)
        self.p4_out = Fusion(channels, 3, bias=False)
        self.p5_out = Fusion(channels, 2, bias=False)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        p3, p4, p5 = self.project(levels)
        p4_down = self.p4_down(p4, _resize(p5, p4))
        p3_out = self.p3_out(p3, _resize(p4_down, p3))
        p4_out = self.p4_out(p4, p4_down, _halve(p3_out))
        return [p3_out, p4_out, self.p5_out(p5, _halve(p4_out))]

    def wire(
        self, wiring: Wiring, levels: Sequence[Channels], channels: Channels
    ) -> list[Channels]:
        self.project.wire(wiring, levels, [channels] * len(levels))
        for node in (self.p4_down, self.p3_out, self.p4_out, self.p5_out):
            node.wire(wiring, channels)
        return [channels] * len(levels)


class TopDown(nn.Module):
    """A top-down pass over three levels: each adds the one above it, then a separable convolution.

    A feature pyramid network (Lin et al., CVPR 2017, section 3). As in RetinaFace's code and
    YuNet's, the next level gets what the convolution behind the sum made, not the sum itself, and
    a norm follows each projection.

    [[B, C3, H3, W3], [B, C4, H4, W4], [B, C5, H5, W5]] -> the same with ``channels`` each, by
    c sum(C) + 6c + 3 (c^2 + 11c) parameters for c channels.
    """

    def __init__(self, channels: int, in_channels: Sequence[int]) -> None:
        super().__init__()
        self.project = PerLevel(ConvNorm(c, channels) for c in in_channels)
        self.p3, self.p4, self.p5 = (SeparableConv(channels, channels) for _ in in_channels)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        p3, p4, p5 = self.project(levels)
        p5 = self.p5(p5)
        p4 = self.p4(p4 + _resize(p5, p4))
        return [self.p3(p3 + _resize(p4, p3)), p4, p5]

    def wire(
        self, wiring: Wiring, levels: Sequence[Channels], channels: Channels
    ) -> list[Channels]:
        self.project.wire(wiring, levels, [channels] * len(levels))
        for convolution in (self.p3, self.p4, self.p5):
            convolution.wire(wiring, channels, channels)
        return [channels] * len(levels)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)  # of the EfficientDet code


def _projection(in_channels: int | None, out_channels: int) -> nn.Module:
    return nn.Identity() if in_channels is None else Projection(in_channels, out_channels)


def _resize(x: Tensor, target: Tensor) -> Tensor:
    return F.interpolate(x, size=target.shape[-2:], mode="nearest")


def _halve(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=2, padding=1)


class SamePool(nn.Module):
    """3x3 max pooling, stride 2, with TensorFlow's "same" padding by zeros.

    Even sides are padded at their end only, and a padded zero beats negative features: both differ
    from ``nn.MaxPool2d`` and are kept so that published weights give published results.
    """

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return F.max_pool2d(F.pad(x, (width % 2, 1, height % 2, 1)), 3, 2)


class MirroredSamePool(nn.Module):
    """:class:`SamePool` without a question to the sides, for graphs that cannot compute with them.

    From the end, the windows of even and of odd sides begin one before it alike.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(x.flip(2, 3), (1, 1, 1, 1)), 3, 2).flip(2, 3)
