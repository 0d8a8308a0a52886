"""Box geometry: corner and centre form, intersection over union."""

from __future__ import annotations

import torch
from torch import Tensor


def to_corners(boxes_cxcywh: Tensor) -> Tensor:
    """(cx, cy, w, h) -> (x1, y1, x2, y2), shape [..., 4]."""
    centre, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def to_centres(boxes: Tensor) -> Tensor:
    """(x1, y1, x2, y2) -> (cx, cy, w, h), shape [..., 4]."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every box of ``a`` with every box of ``b``.

    Args:
        a: boxes, shape [..., M, 4].
        b: boxes, shape [..., N, 4].

    Returns:
        shape [..., M, N], in [0, 1]; 0 where both boxes are empty.
    """
    return paired_iou(a[..., :, None, :], b[..., None, :, :])


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of each box of ``a`` with the box of ``b`` in the same place.

    Args:
        a, b: boxes, shapes [..., 4] that broadcast.

    Returns:
        shape [...], in [0, 1]; 0 where both boxes are empty.
    """
    ax1, ay1, ax2, ay2 = a.unbind(-1)
    bx1, by1, bx2, by2 = b.unbind(-1)
    # Width and height apart, each contiguous: twice as fast as [..., M, N, 2] and prod.
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp_(min=0)
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp_(min=0)
    inner = width.mul_(height)
    area_a = (ax2 - ax1).clamp(min=0) * (ay2 - ay1).clamp(min=0)
    area_b = (bx2 - bx1).clamp(min=0) * (by2 - by1).clamp(min=0)
    union = (area_a + area_b).sub_(inner)
    return inner / union.clamp_(min=torch.finfo(inner.dtype).tiny)


def box_sides(boxes: Tensor) -> Tensor:
    """Size of boxes [..., 4], sqrt(w h): the side of the square of the same area."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1).sqrt()
