"""Prior boxes: where on the image each row of the network's output looks.

Source: RetinaFace (Deng et al., CVPR 2020), section 3.4, in the two-sizes-per-cell form of its
MobileNet configuration, whose sizes are the default here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

LARGEST_SIZE = 2**16
"""Pixels, of a prior."""
MOST_PER_CELL = 64


@dataclass(frozen=True)
class PriorSpec:
    """Square priors per pyramid level, and the scale of the offsets that refer to them.

    ``sizes[l]`` lists the sides in pixels of the priors of every cell of level ``l``; its cells are
    ``strides[l]`` pixels apart. Levels must have equally many, so that the heads are alike.
    ``variances`` divide the offsets of centre and size (SSD, Liu et al., ECCV 2016).
    """

    sizes: Sequence[Sequence[float]] = ((16.0, 32.0), (64.0, 128.0), (256.0, 512.0))
    strides: Sequence[int] = (8, 16, 32)
    variances: tuple[float, float] = (0.1, 0.2)

    def __post_init__(self) -> None:
        # Accept lists too (they come from YAML and from checkpoints), keep the value hashable.
        try:
            sizes = tuple(tuple(_number(s) for s in level) for level in self.sizes)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                "expected prior sizes as a list of pixels per level, such as [[16, 32], [64, 128], "
                f"[256, 512]], got {self.sizes!r}; set model.prior_sizes"
            ) from None
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "strides", tuple(int(s) for s in self.strides))
        object.__setattr__(self, "variances", tuple(float(v) for v in self.variances))
        if len(self.sizes) != len(self.strides):
            raise ValueError(
                f"expected one list of prior sizes per stride {self.strides}, got {self.sizes}"
            )
        if len({len(level) for level in self.sizes}) != 1 or not self.sizes[0]:
            raise ValueError(f"expected equally many prior sizes on every level, got {self.sizes}")
        if self.num_per_cell > MOST_PER_CELL:
            raise ValueError(
                f"expected at most {MOST_PER_CELL} prior sizes on every level, got "
                f"{self.num_per_cell:,}"
            )
        # Not of NaN.
        positive = all(0 < s <= LARGEST_SIZE for level in self.sizes for s in level)
        if not positive or any(s <= 0 for s in self.strides):
            raise ValueError(
                f"expected positive sizes of at most {LARGEST_SIZE:,} pixels and positive strides, "
                f"got {self.sizes} and {self.strides}"
            )
        if len(self.variances) != 2 or not all(0 < v < math.inf for v in self.variances):
            raise ValueError(f"expected two positive variances, got {self.variances}")

    @property
    def num_per_cell(self) -> int:
        """Priors of one cell."""
        return len(self.sizes[0])


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):  # "1_0" is none
        raise TypeError
    return float(value)


def feature_shapes(spec: PriorSpec, height: int, width: int) -> list[tuple[int, int]]:
    """Rows and columns of every level for an image of ``height`` x ``width`` pixels."""
    return [(-(-height // stride), -(-width // stride)) for stride in spec.strides]


def make_priors(spec: PriorSpec, height: int, width: int) -> Tensor:
    """All priors of an image.

    Args:
        spec: sizes and strides.
        height, width: of the network input, pixels.

    Returns:
        Priors (cx, cy, w, h), shape [P, 4], pixels, ordered level, row, column, size: the order of
        the network's output rows.
    """
    levels = []
    for sizes, stride, (rows, columns) in zip(
        spec.sizes, spec.strides, feature_shapes(spec, height, width), strict=True
    ):
        y = (torch.arange(rows, dtype=torch.float32) + 0.5) * stride
        x = (torch.arange(columns, dtype=torch.float32) + 0.5) * stride
        side = torch.tensor(sizes, dtype=torch.float32)
        cy, cx, s = torch.meshgrid(y, x, side, indexing="ij")
        levels.append(torch.stack([cx, cy, s, s], dim=-1).reshape(-1, 4))
    return torch.cat(levels)


class Grids(NamedTuple):
    """One regular grid of cells per kind of prior: each size of each level is a kind.

    The centre of column c is at ``(c + 0.5) * stride``; the row of the network's output that looks
    at row r and column c is ``first + (r * columns + c) * num_per_cell``. All have shape [K].
    """

    strides: Tensor
    """float32, pixels."""
    sides: Tensor
    """float32, pixels, of the kind's square priors."""
    rows: Tensor
    """int64."""
    columns: Tensor
    """int64."""
    first: Tensor
    """int64, the output row of the cell in the corner."""
    num_per_cell: Tensor
    """int64, the kinds that share a cell: output rows from one cell to the next."""


def make_grids(spec: PriorSpec, height: int, width: int) -> Grids:
    """The grids that :func:`make_priors` lays out."""
    kinds: list[tuple[float, float, int, int, int, int]] = []
    begin, step = 0, spec.num_per_cell
    for sizes, stride, (rows, columns) in zip(
        spec.sizes, spec.strides, feature_shapes(spec, height, width), strict=True
    ):
        for place, side in enumerate(sizes):
            kinds.append((stride, side, rows, columns, begin + place, step))
        begin += rows * columns * step
    strides, sides, *whole = zip(*kinds, strict=True)
    return Grids(
        torch.tensor(strides, dtype=torch.float32),
        torch.tensor(sides, dtype=torch.float32),
        *(torch.tensor(values) for values in whole),
    )


class Priors(NamedTuple):
    """The priors of one input size, and what their offsets mean."""

    boxes_cxcywh: Tensor
    """[P, 4] float32, pixels, in the order of the network's output rows."""
    variances: tuple[float, float]
    """Scale of the encoded centres and sizes."""
    grids: Grids
    """Where they stand: finds those near a face without looking at all of them."""


@torch.inference_mode(False)  # a later training must be able to use what an evaluation made
def _priors(spec: PriorSpec, height: int, width: int, device: torch.device) -> Priors:
    return Priors(
        make_priors(spec, height, width).to(device),
        spec.variances,
        Grids(*(values.to(device) for values in make_grids(spec, height, width))),
    )


_kept_priors = lru_cache(maxsize=16)(_priors)
"""More sizes than the views of an image have; of photographs no two may be alike."""

_LARGEST_KEPT = 2**22
"""Pixels of an input, 2.75 MB of priors; 16 photographs of a camera would be 250 MB."""


def priors_for(spec: PriorSpec, shape: Sequence[int], device: torch.device) -> Priors:
    """Those of :func:`make_priors` for an input of ``shape`` [..., H, W], kept on ``device``.

    Building priors took longer than the network itself in the first RetinaFace releases; a training
    run needs them for one size only. Those of large inputs are built anew, beside whose networks it
    takes no time.
    """
    height, width = int(shape[-2]), int(shape[-1])
    build: Callable[..., Priors] = _kept_priors if height * width <= _LARGEST_KEPT else _priors
    return build(spec, height, width, device)
