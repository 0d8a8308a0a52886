"""Backbones: image in, three feature levels out; they publish ``channels`` and ``strides``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from src.models.channels import Channels, Wiring
from src.models.layers import ConvNorm, DepthwiseSeparable

SLOPE = 0.1


WIDTHS = (8, 16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256)
"""Output channels of the stem and the 13 blocks of MobileNetV1 x 0.25."""

STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
ENDS = (5, 11, 13)
"""The blocks that end strides 8, 16 and 32."""
CHANNELS = tuple(WIDTHS[end] for end in ENDS)
"""Channels of C3, C4 and C5 before pruning."""


class MobileNetV1(nn.Module):
    """MobileNetV1 x 0.25 (Howard et al. 2017) cut after strides 8, 16 and 32, as in RetinaFace.

    [B, 3, H, W] -> [[B, 64, H/8, W/8], [B, 128, H/16, W/16], [B, 256, H/32, W/32]] (sides rounded
    up); 213,072 parameters.

    Args:
        widths: output channels of the stem and of the 13 blocks; those of :data:`ENDS` are
            published as ``channels``.
    """

    strides = (8, 16, 32)

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        if len(widths) != len(WIDTHS):
            raise ValueError(f"expected {len(WIDTHS)} backbone widths, got {len(widths)}")
        self.channels = tuple(widths[end] for end in ENDS)
        stem = ConvNorm(3, widths[0], kernel=3, stride=STRIDES[0], slope=SLOPE)
        blocks = [
            DepthwiseSeparable(widths[i - 1], widths[i], stride=STRIDES[i], slope=SLOPE)
            for i in range(1, len(widths))
        ]
        first, second, _ = ENDS
        self.stage1 = nn.Sequential(stem, *blocks[:first])
        self.stage2 = nn.Sequential(*blocks[first:second])
        self.stage3 = nn.Sequential(*blocks[second:])

    def forward(self, x: Tensor) -> list[Tensor]:
        c3 = self.stage1(x)
        c4 = self.stage2(c3)
        return [c3, c4, self.stage3(c4)]

    def wire(self, wiring: Wiring, blocks: Sequence[Channels]) -> list[Channels]:
        """From the image to the levels; ``blocks`` as the constructor's ``widths``."""
        x: Channels | None = None
        for module, outputs in zip([*self.stage1, *self.stage2, *self.stage3], blocks, strict=True):
            x = module.wire(wiring, x, outputs)
        return [blocks[end] for end in ENDS]
