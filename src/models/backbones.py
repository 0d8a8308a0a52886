"""Backbones: image in, three feature levels out; they publish ``channels`` and ``strides``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from src.models.channels import Channels, Wiring
from src.models.layers import ConvNorm, DepthwiseSeparable, SeparableConv

SLOPE = 0.1


WIDTHS = (8, 16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256)
"""Output channels of the stem and the 13 blocks of MobileNetV1 x 0.25."""

STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
ENDS = (5, 11, 13)
"""The blocks that end strides 8, 16 and 32."""
CHANNELS = tuple(WIDTHS[end] for end in ENDS)
"""Channels of C3, C4 and C5 before pruning."""


class _ThreeStages(nn.Module):
    """Blocks in a row, in ``stage1`` to ``stage3``, which end at strides 8, 16 and 32."""

    stage1: nn.Sequential
    stage2: nn.Sequential
    stage3: nn.Sequential
    strides = (8, 16, 32)

    def forward(self, x: Tensor) -> list[Tensor]:
        c3 = self.stage1(x)
        c4 = self.stage2(c3)
        return [c3, c4, self.stage3(c4)]

    def wire(self, wiring: Wiring, blocks: Sequence[Channels]) -> list[Channels]:
        """From the image to the levels; ``blocks``: the channels of the stem and of every block."""
        x: Channels | None = None
        for module, outputs in zip([*self.stage1, *self.stage2, *self.stage3], blocks, strict=True):
            x = module.wire(wiring, x, outputs)
        c3 = len(self.stage1)
        c4 = c3 + len(self.stage2)
        return [blocks[end - 1] for end in (c3, c4, len(blocks))]


class MobileNetV1(_ThreeStages):
    """MobileNetV1 x 0.25 (Howard et al. 2017) cut after strides 8, 16 and 32, as in RetinaFace.

    [B, 3, H, W] -> [[B, 64, H/8, W/8], [B, 128, H/16, W/16], [B, 256, H/32, W/32]] (sides rounded
    up); 213,072 parameters.

    Args:
        widths: output channels of the stem and of the 13 blocks; those of :data:`ENDS` are
            published as ``channels``.
        first_block: False: the stem takes the place of the first block, and ``widths`` begins with
            that block's. At half the image's sides each layer costs a tenth of a small network's
            time; the other blocks keep their names.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS, *, first_block: bool = True) -> None:
        super().__init__()
        skipped = 0 if first_block else 1
        if len(widths) != len(WIDTHS) - skipped:
            raise ValueError(f"expected {len(WIDTHS) - skipped} backbone widths, got {len(widths)}")
        self.channels = tuple(widths[end - skipped] for end in ENDS)
        modules: list[nn.Module] = [
            ConvNorm(3, widths[0], kernel=3, stride=STRIDES[0], slope=SLOPE)
        ]
        modules += [
            DepthwiseSeparable(inputs, outputs, stride=stride, slope=SLOPE)
            for inputs, outputs, stride in zip(
                widths[:-1], widths[1:], STRIDES[1 + skipped :], strict=True
            )
        ]
        first, second, _ = (end + 1 - skipped for end in ENDS)
        names = (str(place) for place in range(len(WIDTHS)) if first_block or place != 1)
        self.stage1 = nn.Sequential(OrderedDict(zip(names, modules[:first], strict=False)))
        self.stage2 = nn.Sequential(*modules[first:second])
        self.stage3 = nn.Sequential(*modules[second:])


class SeparableBackbone(_ThreeStages):
    """A dense 3x3 stem, then :class:`SeparableConv` in four stages; all five halve the image.

    [B, 3, H, W] -> levels at strides 8, 16 and 32 (sides rounded up).

    Args:
        stem: output channels of the stem.
        stages: output channels of every block of the four stages.
    """

    def __init__(self, stem: int, stages: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.channels = tuple(widths[-1] for widths in stages[1:])
        inputs = [stem, *(widths[-1] for widths in stages)]
        c2, c3, c4, c5 = (_stage(c, widths) for c, widths in zip(inputs, stages, strict=False))
        self.stage1 = nn.Sequential(ConvNorm(3, stem, kernel=3, stride=2, slope=0.0), *c2, *c3)
        self.stage2 = nn.Sequential(*c4)
        self.stage3 = nn.Sequential(*c5)


def _stage(in_channels: int, widths: Sequence[int]) -> list[SeparableConv]:
    """Blocks of which the first has stride 2."""
    inputs = [in_channels, *widths]
    return [
        SeparableConv(inputs[place], outputs, stride=1 if place else 2)
        for place, outputs in enumerate(widths)
    ]
