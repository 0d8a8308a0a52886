"""Attention over the scale sequence of a pyramid, for its shallowest level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.attention import ChannelGate, SpatialGate
from src.models.channels import Channels, Wiring
from src.models.layers import ConvNorm


class SumGate(ChannelGate):
    """Scales channels by sigmoid(MLP(mean)) + sigmoid(MLP(max)), 0 to 2, SiLU in the shared MLP."""

    def forward(self, x: Tensor) -> Tensor:
        mean, peak = x.mean(dim=(2, 3)), x.amax(dim=(2, 3))
        gate = torch.sigmoid(self._mlp(mean)) + torch.sigmoid(self._mlp(peak))
        return x * gate[:, :, None, None]

    def _mlp(self, pooled: Tensor) -> Tensor:
        return self.expand(F.silu(self.reduce(pooled)))


class _ScaleSequence(nn.Module):
    """The gates of ASSN, and its shortcut: y3 = P3 + fuse(Q), Q = [P3', up(P4), up(P5)] Ms."""

    def __init__(self, channels: int, *, gate: int) -> None:
        super().__init__()
        self.channel = SumGate(channels, gate)
        self.spatial = SpatialGate()

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        p3, p4, p5 = levels
        gated = self.channel(p3)
        scales = [gated, *(F.interpolate(p, size=p3.shape[-2:], mode="nearest") for p in (p4, p5))]
        return [p3 + self.fuse(torch.cat(scales, dim=1) * self.spatial.gate(gated)), p4, p5]

    def fuse(self, sequence: Tensor) -> Tensor:
        """[B, 3N, H3, W3], scale by scale -> [B, N, H3, W3]."""
        raise NotImplementedError

    def wire_gates(self, wiring: Wiring, x: Channels, gate: Channels) -> None:
        self.channel.wire(wiring, x, gate)
        self.spatial.wire(wiring, x)


class ASSN(_ScaleSequence):
    """Attention-based scale sequence network (Lee, Kim, Heliyon 10(12), 2024), for small faces.

    Published: P3' = (sigmoid(MLP(mean)) + sigmoid(MLP(max))) P3; Ms = sigmoid(BN(conv 7x7)) of its
    channel mean and max; P4 and P5, projected to P3's channels and upsampled, join P3' as a
    sequence of scales, all times Ms; a block of convolutions; shortcut to P3.

    Ours: the levels of our pyramid have one width, so nothing is projected, and the published block
    (22,080 parameters at 32 channels, :class:`PublishedASSN`) becomes a depthwise kernel over
    scale, row and column and a bottleneck of two 1x1 convolutions (2,112 in all). Levels are
    resized to P3's size, not to 80 x 80, so any input works; max stands before mean, a relabelling
    of the weights.

        Q = [P3', up(P4), up(P5)] Ms, channel by channel
        y3 = P3 + expand(SiLU(BN(reduce(SiLU(BN(sequence(Q)))))))

    ``expand`` starts at 0: the module starts as the identity.

    [[B, N, H3, W3], [B, N, H4, W4], [B, N, H5, W5]] -> the same; P4 and P5 pass unchanged.

    Args:
        channels: N, of every level.
        gate: hidden units of the channel gate.
        fusion: channels of the bottleneck.
    """

    def __init__(self, channels: int, *, gate: int, fusion: int) -> None:
        super().__init__(channels, gate=gate)
        # Channel by channel: the three scales of a channel are one group of the convolution.
        self.interleave = nn.ChannelShuffle(3)
        self.sequence = nn.Conv2d(3 * channels, channels, 3, padding=1, groups=channels, bias=False)
        self.sequence_norm = nn.BatchNorm2d(channels)
        self.reduce = ConvNorm(channels, fusion)
        self.expand = nn.Conv2d(fusion, channels, 1, bias=False)
        nn.init.zeros_(self.expand.weight)

    def fuse(self, sequence: Tensor) -> Tensor:
        mixed = F.silu(self.sequence_norm(self.sequence(self.interleave(sequence))))
        return self.expand(F.silu(self.reduce(mixed)))

    def wire(
        self, wiring: Wiring, levels: list[Channels], gate: Channels, fusion: Channels
    ) -> list[Channels]:
        x = levels[0]
        self.wire_gates(wiring, x, gate)
        wiring.make(self.sequence, None, x, norm=self.sequence_norm)
        self.reduce.wire(wiring, x, fusion)
        wiring.make(self.expand, fusion, x)
        return levels


class PublishedASSN(_ScaleSequence):
    """ASSN with the block that its authors publish, the E-ELAN block of YOLOv7's neck.

    From their configuration of YOLOv7 (github.com/smu-ivpl/ASSN, ``assn-yolov7.yaml``): of Q two
    1x1 convolutions, behind the second four 3x3 in a row, a 1x1 over all six, each with a norm and
    a SiLU. The projections of P4 and P5 are left out, as in :class:`ASSN`; with them and the
    published gate it has 24,518 parameters at 32 channels, here 22,472. Ours is the start as the
    identity: the last norm's weight is 0.

    [[B, N, H3, W3], [B, N, H4, W4], [B, N, H5, W5]] -> the same; P4 and P5 pass unchanged.

    Args:
        channels: N, of every level.
        gate: hidden units of the channel gate.
        widths: channels of the two 1x1 and of the four 3x3 convolutions.
    """

    def __init__(self, channels: int, *, gate: int, widths: Sequence[int]) -> None:
        super().__init__(channels, gate=gate)
        first, second, *deep = widths
        self.pointwise = nn.ModuleList(ConvNorm(3 * channels, width) for width in (first, second))
        self.deep = nn.ModuleList(
            ConvNorm(i, o, kernel=3) for i, o in zip([second, *deep[:-1]], deep, strict=True)
        )
        self.gather = ConvNorm(sum(widths), channels)
        nn.init.zeros_(self.gather.norm.weight)

    def fuse(self, sequence: Tensor) -> Tensor:
        found = [F.silu(conv(sequence)) for conv in self.pointwise]
        for conv in self.deep:
            found.append(F.silu(conv(found[-1])))
        return F.silu(self.gather(torch.cat(found, dim=1)))

    def wire(
        self, wiring: Wiring, levels: list[Channels], gate: Channels, widths: Sequence[Channels]
    ) -> list[Channels]:
        x = levels[0]
        self.wire_gates(wiring, x, gate)
        sequence, (second, *deep) = np.concatenate(levels), widths[1:]
        for conv, outputs in zip(self.pointwise, widths[:2], strict=True):
            conv.wire(wiring, sequence, outputs)  # type: ignore[operator]
        for conv, inputs, outputs in zip(self.deep, [second, *deep[:-1]], deep, strict=True):
            conv.wire(wiring, inputs, outputs)  # type: ignore[operator]
        self.gather.wire(wiring, np.concatenate(widths), x)
        return levels
