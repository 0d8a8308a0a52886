"""Backbones: image in, three feature levels out; they publish ``channels`` and ``strides``."""

from __future__ import annotations

from torch import Tensor, nn

from src.models.layers import ConvNorm, DepthwiseSeparable

SLOPE = 0.1


class MobileNetV1(nn.Module):
    """MobileNetV1 x 0.25 (Howard et al. 2017) cut after strides 8, 16 and 32, as in RetinaFace.

    [B, 3, H, W] -> [[B, 64, H/8, W/8], [B, 128, H/16, W/16], [B, 256, H/32, W/32]] (sides rounded
    up); 213,072 parameters.
    """

    channels = (64, 128, 256)
    strides = (8, 16, 32)

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            ConvNorm(3, 8, kernel=3, stride=2, slope=SLOPE),
            *_blocks((8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)),
        )
        self.stage2 = nn.Sequential(*_blocks((64, 128, 2), *[(128, 128, 1)] * 5))
        self.stage3 = nn.Sequential(*_blocks((128, 256, 2), (256, 256, 1)))

    def forward(self, x: Tensor) -> list[Tensor]:
        c3 = self.stage1(x)
        c4 = self.stage2(c3)
        return [c3, c4, self.stage3(c4)]


def _blocks(*specs: tuple[int, int, int]) -> list[nn.Module]:
    """(in, out, stride) of each block."""
    return [DepthwiseSeparable(i, o, stride=s, slope=SLOPE) for i, o, s in specs]
