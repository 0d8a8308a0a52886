"""Greedy non-maximum suppression, batched, without torchvision.

A box survives unless a better box that survives overlaps it. The best boxes that are left are
compared with all others a block at a time, and what one of them suppresses is never looked at
again. In numpy, also for boxes on a GPU: a greedy choice waits for its result at every step, and
what enters suppression is small enough to be copied.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BLOCK = 64
"""Boxes compared with the rest at a time: fewer cost more calls, more do work for nothing."""


def nms(boxes: Tensor, valid: Tensor, *, iou_threshold: float) -> Tensor:
    """Suppress boxes that overlap a better one.

    Args:
        boxes: (x1, y1, x2, y2), shape [B, K, 4], float32, pixels, best first within each image
            (ties: the first wins, so a stable sort gives a deterministic answer).
        valid: shape [B, K] bool; padding rows are False and neither survive nor suppress.
        iou_threshold: overlap above which the worse box goes.

    Returns:
        shape [B, K] bool, True where the box is kept, on the device of ``valid``.
    """
    if boxes.ndim != 3 or boxes.shape != (*valid.shape, 4):
        raise ValueError(
            "expected boxes [B, K, 4] and valid [B, K], got "
            f"{tuple(boxes.shape)} and {tuple(valid.shape)}"
        )
    keep = np.zeros(valid.shape, dtype=bool)
    images = zip(boxes.detach().cpu().numpy(), valid.cpu().numpy(), strict=True)
    for kept, (corners, candidates) in zip(keep, images, strict=True):
        (places,) = candidates.nonzero()
        kept[places[_greedy(corners[places], iou_threshold)]] = True
    return torch.from_numpy(keep).to(valid.device)


def _greedy(boxes: np.ndarray, iou_threshold: float) -> list[int]:
    """Indices of the boxes [K, 4], best first, that survive."""
    columns, number = np.ascontiguousarray(boxes.T), np.arange(len(boxes))
    kept: list[int] = []
    while len(number):
        suppresses = _overlaps(columns[:, :BLOCK], columns) > iou_threshold
        gone = np.zeros(len(number), dtype=bool)
        for i, row in enumerate(suppresses):
            if not gone[i]:
                kept.append(int(number[i]))
                gone |= row
        gone[:BLOCK] = True  # settled, kept or not
        columns, number = columns[:, ~gone], number[~gone]
    return kept


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of columns [4, M] and [4, K], shape [M, K].

    The same numbers to the last bit as :func:`src.detection.boxes.pairwise_iou`, several times
    faster for few boxes.
    """
    a = a[:, :, None]
    with np.errstate(over="ignore", invalid="ignore"):  # boxes of a network that diverges
        inner = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
        height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
        inner = np.maximum(inner, 0, out=inner)
        inner *= np.maximum(height, 0, out=height)
        area_a, area_b = (
            np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0) for x1, y1, x2, y2 in (a, b)
        )
        union = np.subtract(area_a + area_b, inner, out=height)
        return inner / np.maximum(union, np.finfo(union.dtype).tiny, out=union)
