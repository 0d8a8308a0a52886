"""Prediction heads: pyramid levels in, one row per prior out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from src.models.channels import Channels, Wiring
from src.models.layers import ConvNorm
from src.types import NUM_LANDMARKS, Outputs

STEM_SLOPE = 0.1


class LevelHead(nn.Module):
    """Three 1x1 convolutions: boxes, classes and landmarks of ``num_priors`` priors per cell.

    Args:
        channels: of the level.
        num_priors: per cell.
        stem: channels of a 1x1 convolution, norm and LeakyReLU in front of the three; None: none.
            An addition of ours: what the three give is fixed by the priors, so without it a head
            has no filter that could be pruned.

    Returns:
        :class:`Outputs` of the level, rows ordered row, column, prior.
    """

    def __init__(self, channels: int, num_priors: int, *, stem: int | None = None) -> None:
        super().__init__()
        self.stem = nn.Identity() if stem is None else ConvNorm(channels, stem, slope=STEM_SLOPE)
        width = channels if stem is None else stem
        self.boxes = nn.Conv2d(width, 4 * num_priors, 1)
        self.classes = nn.Conv2d(width, 2 * num_priors, 1)
        self.landmarks = nn.Conv2d(width, 2 * NUM_LANDMARKS * num_priors, 1)

    def forward(self, x: Tensor) -> Outputs:
        x = self.stem(x)
        return Outputs(
            _rows(self.boxes(x), 4),
            _rows(self.classes(x), 2),
            _rows(self.landmarks(x), 2 * NUM_LANDMARKS),
        )

    @property
    def readers(self) -> list[nn.Conv2d]:
        """The convolutions that read the level."""
        if isinstance(self.stem, ConvNorm):
            return [self.stem.conv]
        return [self.boxes, self.classes, self.landmarks]

    @torch.no_grad()
    def raise_scores(self, logit: float) -> None:
        """Add to the logit of every score, which keeps their order."""
        assert self.classes.bias is not None
        self.classes.bias[1::2] += logit  # rows are (background, face)

    def wire(self, wiring: Wiring, inputs: Channels, stem: Channels | None) -> None:
        if isinstance(self.stem, ConvNorm):
            inputs = self.stem.wire(wiring, inputs, stem)
        for prediction in (self.boxes, self.classes, self.landmarks):
            wiring.layer(prediction, inputs, None)


class Heads(nn.ModuleList):
    """A head of its own for every level; rows ordered level, row, column, prior.

    Args:
        channels: of each level.
        num_priors: per cell.
        stems: of each head, see :class:`LevelHead`; None: no head has one.
    """

    def __init__(
        self, channels: Sequence[int], num_priors: int, *, stems: Sequence[int] | None = None
    ) -> None:
        each = [None] * len(channels) if stems is None else stems
        super().__init__(
            LevelHead(c, num_priors, stem=stem) for c, stem in zip(channels, each, strict=True)
        )

    def forward(self, levels: list[Tensor]) -> Outputs:
        return _joined([head(x) for head, x in zip(self, levels, strict=True)])

    def wire(
        self, wiring: Wiring, levels: Sequence[Channels], stems: Sequence[Channels | None]
    ) -> None:
        for head, x, stem in zip(self, levels, stems, strict=True):
            head.wire(wiring, x, stem)  # type: ignore[operator]


class SharedMultiHead(nn.Module):
    """One head for all levels (RetinaNet, Lin et al., ICCV 2017, shares its subnets likewise).

    A third of the parameters of :class:`Heads`: 16 A (C + 1) for A priors, without stem. Every
    level must have the same number of channels. The norm of a stem keeps statistics of the three
    levels together.
    """

    def __init__(self, channels: int, num_priors: int, *, stem: int | None = None) -> None:
        super().__init__()
        self.head = LevelHead(channels, num_priors, stem=stem)

    def forward(self, levels: list[Tensor]) -> Outputs:
        return _joined([self.head(x) for x in levels])

    def wire(self, wiring: Wiring, levels: Sequence[Channels], stem: Channels | None) -> None:
        """All levels must have the same channels, in the same order."""
        assert all(np.array_equal(levels[0], x) for x in levels)
        self.head.wire(wiring, levels[0], stem)


def _joined(levels: list[Outputs]) -> Outputs:
    return Outputs(*[torch.cat(rows, dim=1) for rows in zip(*levels, strict=True)])


def _rows(x: Tensor, size: int) -> Tensor:
    """[B, A * size, H, W] -> [B, H * W * A, size]."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, size)
