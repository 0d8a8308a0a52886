"""Imitation of the teacher's feature pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.detection.priors import PriorSpec, feature_shapes
from src.distillation.losses import foreground_weight


class FeatureTerm(nn.Module):
    """sum over levels of sum M ||A(F_S) / |A(F_S)| - F_T / |F_T|||^2 / sum M.

    F are the pyramid's features, A a 1x1 convolution per level to the teacher's width, M the
    teacher's largest face probability at each position, widened by one cell. After the feature
    loss of Li et al. (CVPR 2023, pp. 20156-20165), which is stated for face embeddings; mask and
    levels are our own. The adapters serve training only and are not part of the student.

    Args:
        weight: of the term beside the others.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        if not 0 < weight < math.inf:
            raise ValueError(
                f"expected a feature weight above 0, got {weight}; set kd.features.weight, or "
                "kd=weighted for none"
            )
        self.weight = weight
        self.adapters = nn.ModuleList()

    def connect(self, student: Sequence[int], teacher: Sequence[int]) -> None:
        """Make the adapters between levels of these channels."""
        self.adapters = nn.ModuleList(
            nn.Conv2d(s, t, 1) for s, t in zip(student, teacher, strict=True)
        )

    def forward(
        self, student: Sequence[Tensor], teacher: Sequence[Tensor], probability: Tensor,
        spec: PriorSpec, size: tuple[int, int],
    ) -> Tensor:  # fmt: skip
        """Distance of two pyramids.

        Args:
            student, teacher: features [B, C, H, W] per level.
            probability: of a face by the teacher, shape [B, Q], its rows.
            spec: priors of the teacher.
            size: height and width of the network input.

        Returns:
            scalar; 0 with a graph without foreground.
        """
        masks = level_masks(foreground_weight(probability), spec, size)
        terms = []
        for adapter, ours, theirs, mask in zip(self.adapters, student, teacher, masks, strict=True):
            weight = cast(Tensor, adapter.weight)
            adapted = F.normalize(adapter(ours.to(weight.dtype)).float(), dim=1)
            apart = adapted - F.normalize(theirs.float(), dim=1)
            squared = apart.square().sum(dim=1)
            terms.append((mask * squared).sum() / mask.sum().clamp(min=1e-6))
        return torch.stack(terms).sum()


def level_masks(weight: Tensor, spec: PriorSpec, size: tuple[int, int]) -> list[Tensor]:
    """Largest weight of each position's priors and of its eight neighbours'.

    Args:
        weight: shape [B, Q], ordered level, row, column, prior.
        spec: priors of these rows.
        size: height and width of the network input.

    Returns:
        shape [B, H, W] per level.
    """
    shapes = feature_shapes(spec, *size)
    parts = weight.split([rows * cols * spec.num_per_cell for rows, cols in shapes], dim=1)
    return [
        F.max_pool2d(part.view(len(part), rows, cols, -1).amax(dim=-1), 3, stride=1, padding=1)
        for part, (rows, cols) in zip(parts, shapes, strict=True)
    ]
