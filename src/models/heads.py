"""Prediction heads: pyramid levels in, one row per prior out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from src.types import NUM_LANDMARKS, Outputs


class LevelHead(nn.Module):
    """Three 1x1 convolutions: boxes, classes and landmarks of ``num_priors`` priors per cell."""

    def __init__(self, channels: int, num_priors: int) -> None:
        super().__init__()
        self.boxes = nn.Conv2d(channels, 4 * num_priors, 1)
        self.classes = nn.Conv2d(channels, 2 * num_priors, 1)
        self.landmarks = nn.Conv2d(channels, 2 * NUM_LANDMARKS * num_priors, 1)


class Heads(nn.ModuleList):
    """A head of its own for every level; rows ordered level, row, column, prior."""

    def __init__(self, channels: Sequence[int], num_priors: int) -> None:
        super().__init__(LevelHead(c, num_priors) for c in channels)

    def forward(self, levels: list[Tensor]) -> Outputs:
        heads = cast(Iterable[LevelHead], self)
        pairs = list(zip(heads, levels, strict=True))
        return Outputs(
            torch.cat([_rows(head.boxes(x), 4) for head, x in pairs], dim=1),
            torch.cat([_rows(head.classes(x), 2) for head, x in pairs], dim=1),
            torch.cat([_rows(head.landmarks(x), 2 * NUM_LANDMARKS) for head, x in pairs], dim=1),
        )


def _rows(x: Tensor, size: int) -> Tensor:
    """[B, A * size, H, W] -> [B, H * W * A, size]."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, size)
