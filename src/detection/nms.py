"""Greedy non-maximum suppression on tensors, batched, without torchvision.

A box survives unless a better box that survives overlaps it. Instead of walking the boxes one by
one, the boxes of a block are settled together by iterating "keep what no kept better box
suppresses": the first box is right after one round, and each further round settles at least the
next, so the fixed point is exactly the greedy answer, usually within a handful of rounds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from src.detection.boxes import pairwise_iou

BLOCK = 512
"""Boxes settled together: bounds memory to B x BLOCK x K overlaps."""


def nms(boxes: Tensor, valid: Tensor, *, iou_threshold: float) -> Tensor:
    """Suppress boxes that overlap a better one.

    Args:
        boxes: (x1, y1, x2, y2), shape [B, K, 4], pixels, best first within each image (ties: the
            first wins, so a stable sort gives a deterministic answer).
        valid: shape [B, K] bool; padding rows are False and neither survive nor suppress.
        iou_threshold: overlap above which the worse box goes.

    Returns:
        shape [B, K] bool, True where the box is kept.
    """
    if boxes.ndim != 3 or boxes.shape != (*valid.shape, 4):
        raise ValueError(
            "expected boxes [B, K, 4] and valid [B, K], got "
            f"{tuple(boxes.shape)} and {tuple(valid.shape)}"
        )
    keep = valid.clone()
    num_boxes = boxes.shape[1]
    for start in range(0, num_boxes, BLOCK):
        stop = min(start + BLOCK, num_boxes)
        overlaps = pairwise_iou(boxes[:, start:stop], boxes[:, start:]) > iou_threshold
        inside = overlaps[:, :, : stop - start].triu(diagonal=1)
        kept = _settle(inside, keep[:, start:stop])
        keep[:, start:stop] = kept
        if stop < num_boxes:
            later = overlaps[:, :, stop - start :] & kept[:, :, None]
            keep[:, stop:] &= ~later.any(dim=1)
    return keep


def _settle(suppresses: Tensor, alive: Tensor) -> Tensor:
    """Fixed point of greedy suppression; suppresses[b, i, j]: i is better than j, overlaps it."""
    kept = alive
    while True:
        settled = alive & ~(suppresses & kept[:, :, None]).any(dim=1)
        if torch.equal(settled, kept):
            return kept
        kept = settled
