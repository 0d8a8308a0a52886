"""Encoding of boxes and landmarks as offsets from priors, and back.

Source: SSD (Liu et al., ECCV 2016), section 2.2, with the variances of its reference code;
landmarks as in RetinaFace: offsets of each point from the prior's centre in units of its size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from src.detection.boxes import to_centres, to_corners

MAX_LOG_SIZE = 10.0
"""Cap of the decoded log size ratio: e^10 of a prior is beyond any image; keeps exp() finite."""


def encode_boxes(boxes: Tensor, priors: Tensor, variances: tuple[float, float]) -> Tensor:
    """Offsets that turn priors into boxes.

    Args:
        boxes: (x1, y1, x2, y2), shape [..., 4], pixels; width and height must be positive.
        priors: (cx, cy, w, h), shape [..., 4], pixels, one per box.
        variances: scale of the centre and of the size offsets.

    Returns:
        (dx, dy, dw, dh), shape [..., 4], unitless.
    """
    centres = to_centres(boxes)
    shift = (centres[..., :2] - priors[..., :2]) / (priors[..., 2:] * variances[0])
    scale = torch.log(centres[..., 2:] / priors[..., 2:]) / variances[1]
    return torch.cat([shift, scale], dim=-1)


def decode_boxes(deltas: Tensor, priors: Tensor, variances: tuple[float, float]) -> Tensor:
    """Inverse of :func:`encode_boxes`: (x1, y1, x2, y2), shape [..., 4], pixels, not clipped."""
    centre = priors[..., :2] + deltas[..., :2] * variances[0] * priors[..., 2:]
    log_size = (deltas[..., 2:] * variances[1]).clamp(max=MAX_LOG_SIZE)
    return to_corners(torch.cat([centre, priors[..., 2:] * torch.exp(log_size)], dim=-1))


def encode_landmarks(landmarks: Tensor, priors: Tensor, variances: tuple[float, float]) -> Tensor:
    """Offsets of points from prior centres.

    Args:
        landmarks: shape [..., 5, 2], pixels.
        priors: (cx, cy, w, h), shape [..., 4], pixels.
        variances: only the first, of centres, is used.

    Returns:
        shape [..., 10]: x and y of each point in turn, unitless.
    """
    offsets = (landmarks - priors[..., None, :2]) / (priors[..., None, 2:] * variances[0])
    return offsets.flatten(-2)


def decode_landmarks(offsets: Tensor, priors: Tensor, variances: tuple[float, float]) -> Tensor:
    """Inverse of :func:`encode_landmarks`: points, shape [..., 5, 2], pixels."""
    points = offsets.unflatten(-1, (-1, 2))
    return priors[..., None, :2] + points * variances[0] * priors[..., None, 2:]
