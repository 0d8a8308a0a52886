"""Which priors a face can reach: found on the grids of the priors, not by trying all of them.

At 640 px a face stands beside 16,800 priors and reaches a few dozen. Everything here is a list of
pairs, one row per face and prior, in which the faces ascend.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from src.detection.boxes import paired_iou, to_centres, to_corners
from src.detection.priors import Priors

MAX_SIDE_RATIO = 4.0
"""Largest ratio of the sides of a prior and a face, either way, for one to answer for the other
(as in the assigner of YOLOv5-face)."""


class Pairs(NamedTuple):
    """Faces beside priors, N pairs."""

    face: Tensor
    """[N] int64, ascending."""
    kind: Tensor
    """[N] int64, the kind of prior, an index into :class:`src.detection.priors.Grids`."""
    prior: Tensor
    """[N] int64."""

    def where(self, keep: Tensor) -> Pairs:
        """Those that a mask [N] keeps."""
        return Pairs(*(values[keep] for values in self))


def pairs_within(priors: Priors, boxes: Tensor, reach: Tensor) -> Pairs:
    """Every face with every prior whose centre is near the face's centre.

    Args:
        priors: of the image.
        boxes: of the faces, shape [F, 4], pixels.
        reach: how far apart the two may be in x and y, shape [F, K, 2] for K kinds of priors,
            pixels; below 0: no prior of this kind. A thousandth of a pixel is added, so that
            rounding loses no pair.
    """
    grids = priors.grids
    centres = to_centres(boxes)[:, None, :2]
    reach = torch.where(reach < 0, reach, reach + 1e-3)
    shape = torch.stack([grids.columns, grids.rows], dim=-1)
    stride = grids.strides[:, None]
    low = ((centres - reach) / stride - 0.5).ceil().clamp(min=0)
    high = torch.minimum(((centres + reach) / stride - 0.5).floor(), shape - 1.0)
    extent = (high - low + 1).clamp(min=0).flatten(0, 1).long()
    # Each kind of prior around each face is a rectangle of cells; its cells are counted through.
    wide, count = extent[:, 0], extent.prod(dim=-1)
    block = torch.repeat_interleave(count)
    cell = torch.arange(len(block), device=block.device) - (count.cumsum(0) - count)[block]
    column, row = low.flatten(0, 1).clamp(max=2**20).long().unbind(-1)
    columns, first, step = (
        values.repeat(len(boxes)) for values in (grids.columns, grids.first, grids.num_per_cell)
    )
    corner = first + (row * columns + column) * step
    skipped = cell // wide[block] * (columns - wide)[block]  # right and left of the rectangle
    prior = corner[block] + (cell + skipped) * step[block]
    return Pairs(block // len(grids.first), block % len(grids.first), prior)


def overlapping_pairs(priors: Priors, boxes: Tensor, least: float) -> tuple[Pairs, Tensor]:
    """Every face with every prior that it overlaps by ``least``.

    Args:
        priors: of the image.
        boxes: of the faces, shape [F, 4], pixels.
        least: intersection over union, above 0.

    Returns:
        the pairs, and their intersection over union, shape [N].
    """
    pairs = pairs_within(priors, boxes, overlap_reach(priors, boxes, least))
    overlaps = paired_iou(boxes[pairs.face], to_corners(priors.boxes_cxcywh[pairs.prior]))
    enough = overlaps >= least
    return pairs.where(enough), overlaps[enough]


def overlap_reach(priors: Priors, boxes: Tensor, least: float) -> Tensor:
    """How far a prior's centre may be from a face's for them to overlap by ``least``.

    The intersection needs ``least`` of the larger area and is no higher than the lower box, which
    says how wide it must be; two boxes that are x apart share (w + w') / 2 - x.

    Returns:
        shape [F, K, 2], pixels, for :func:`pairs_within`.
    """
    extent = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)[:, None]  # [F, 1, 2]
    side = priors.grids.sides[:, None]  # [K, 1]
    area = least * torch.maximum(extent.prod(dim=-1, keepdim=True), side**2)
    shared = torch.minimum(extent, side)
    needed = area / shared.flip(-1)
    # The same slack: what overlaps by exactly `least` must not be lost to rounding.
    possible = (needed <= shared + 1e-3).all(dim=-1, keepdim=True)
    return torch.where(possible, ((extent + side) / 2 - needed).clamp(min=0), -1.0)


def near_pairs(priors: Priors, boxes: Tensor, sides: Tensor, *, inside: bool) -> Pairs:
    """Every face with the priors of its size that look at it or past it.

    These are priors with a cell centre within one stride of the face's centre, in x and y, whose
    side is at most ``MAX_SIDE_RATIO`` from that of the face.

    Args:
        priors: of the image.
        boxes: of the faces, shape [F, 4], pixels.
        sides: of the faces, shape [F], pixels.
        inside: also those with a cell centre anywhere inside the face.
    """
    grids = priors.grids
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 if inside else torch.zeros_like(boxes[:, 2:])
    ratio = sides[:, None] / grids.sides
    fits = (ratio <= MAX_SIDE_RATIO) & (ratio >= 1 / MAX_SIDE_RATIO)
    stride = grids.strides[:, None]
    reach = torch.maximum(half[:, None], stride).where(fits[..., None], -1.0)
    pairs = pairs_within(priors, boxes, reach)
    apart = (to_centres(boxes)[pairs.face] - priors.boxes_cxcywh[pairs.prior])[:, :2].abs()
    # Two rectangles around one centre: the larger sides of both would hold their corners, too.
    close = (apart <= grids.strides[pairs.kind, None]).all(dim=-1)
    return pairs.where(close | (apart <= half[pairs.face]).all(dim=-1))
