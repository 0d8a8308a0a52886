"""Twins: rows of student and teacher that refer to one and the same prior.

The two may have different numbers of priors per cell. Their rows are paired by the priors
themselves, not by counting: a row of the student only ever learns from the row that looks at the
same place with the same size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from src.detection.priors import PriorSpec, feature_shapes, make_priors


class Twins(NamedTuple):
    """Row ``student[t]`` of the student and row ``teacher[t]`` of the teacher share a prior."""

    student: Tensor
    """[T] int64, ascending."""
    teacher: Tensor
    """[T] int64."""


def match_priors(student: Tensor, teacher: Tensor) -> Twins:
    """Pair equal priors.

    Args:
        student: priors, shape [P, 4].
        teacher: priors, shape [Q, 4].

    Raises:
        ValueError: the priors of neither contain those of the other, or one has a prior twice.
    """
    distinct, number = torch.cat([student, teacher]).unique(dim=0, return_inverse=True)
    row_of = []
    for numbers in number.split([len(student), len(teacher)]):
        rows = numbers.new_full((len(distinct),), -1)
        rows[numbers] = torch.arange(len(numbers))
        if len(numbers) != (rows >= 0).sum():
            raise ValueError("expected priors that differ from each other, got one twice")
        row_of.append(rows)
    shared = (row_of[0] >= 0) & (row_of[1] >= 0)
    if shared.sum() < min(len(student), len(teacher)):
        raise ValueError(
            "expected the priors of the student to contain those of the teacher, or the other way "
            f"round; got {len(student)} and {len(teacher)} with {int(shared.sum())} in common"
        )
    order = row_of[0][shared].argsort()
    return Twins(row_of[0][shared][order], row_of[1][shared][order])


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # a training must be able to use what an evaluation made
def twins_for(
    student: PriorSpec,
    teacher: PriorSpec,
    height: int,
    width: int,
    device: torch.device,
    *,
    min_prior: float | None = None,
    levels: tuple[int, ...] | None = None,
) -> Twins:
    """Like :func:`match_priors` for images of ``height`` x ``width`` pixels, kept on ``device``.

    Args:
        min_prior: leave out priors of a smaller side, pixels.
        levels: leave out priors of other strides.

    Raises:
        ValueError: the two cannot be paired; names both and what to set.
    """
    advice = (
        f"; the teacher has sizes {_plain(teacher.sizes)}, the student {_plain(student.sizes)}: "
        "set model.prior_sizes so that they contain the teacher's, or choose another kd.teacher"
    )
    if student.variances != teacher.variances:
        raise ValueError(
            f"expected offsets of one scale, got variances {student.variances} of the student and "
            f"{teacher.variances} of the teacher{advice}"
        )
    try:
        pairs = match_priors(*(make_priors(spec, height, width) for spec in (student, teacher)))
    except ValueError as error:
        raise ValueError(f"{error}{advice}") from None
    if min_prior is not None or levels is not None:
        chosen = _chosen(student, height, width, min_prior or 0.0, levels or student.strides)
        pairs = Twins(*(rows[chosen[pairs.student]] for rows in pairs))
    return Twins(*(rows.to(device) for rows in pairs))


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def row_factors(
    spec: PriorSpec,
    height: int,
    width: int,
    factors: tuple[tuple[int, float], ...],
    device: torch.device,
) -> Tensor:
    """The factor of each prior's stride, [P] float32 on ``device``; 0 for strides without one."""
    known = dict(factors)
    return torch.tensor([known.get(stride, 0.0) for stride in spec.strides]).repeat_interleave(
        _counts(spec, height, width)
    ).to(device)  # fmt: skip


def _chosen(
    spec: PriorSpec, height: int, width: int, min_prior: float, levels: Sequence[int]
) -> Tensor:
    """Priors of at least a size and of some strides, shape [P] bool."""
    strides = torch.tensor(spec.strides).repeat_interleave(_counts(spec, height, width))
    large = make_priors(spec, height, width)[:, 2] >= min_prior
    return large & torch.isin(strides, torch.tensor(levels))


def _counts(spec: PriorSpec, height: int, width: int) -> Tensor:
    """Priors of each level, [L]."""
    shapes = feature_shapes(spec, height, width)
    return torch.tensor([rows * columns * spec.num_per_cell for rows, columns in shapes])


def _plain(sizes: Sequence[Sequence[float]]) -> str:
    return "[" + ", ".join(f"[{', '.join(f'{s:g}' for s in level)}]" for level in sizes) + "]"
