"""Loss terms that look at decoded boxes: how much they overlap is what the evaluation counts.

The terms of :mod:`src.detection.losses` compare offsets and 0 or 1. These serve small faces, for
which a pixel decides between a hit and a miss; each takes the place of one term there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from src.detection.boxes import box_sides, paired_iou, to_centres
from src.detection.coding import decode_boxes
from src.types import Matched, Outputs


def distance_iou(found: Tensor, wanted: Tensor) -> Tensor:
    """IoU - d^2 / c^2, with d between the centres and c the diagonal of the box around both.

    Source: Zheng et al., Distance-IoU Loss (AAAI 2020), eq. 7. Unlike the IoU it says where to go
    when boxes do not meet.

    Args:
        found, wanted: boxes, shape [M, 4] each, pixels.

    Returns:
        shape [M], above -1, 1 for equal boxes.
    """
    low = torch.minimum(found[:, :2], wanted[:, :2])
    high = torch.maximum(found[:, 2:], wanted[:, 2:])
    apart = (found[:, :2] + found[:, 2:] - wanted[:, :2] - wanted[:, 2:]) / 2
    diagonal = (high - low).square().sum(dim=-1).clamp(min=torch.finfo(found.dtype).tiny)
    return paired_iou(found, wanted) - apart.square().sum(dim=-1) / diagonal


def gaussian_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Wasserstein distance of two boxes taken as Gaussians of half their width and height.

    Source: Wang et al., A Normalized Gaussian Wasserstein Distance for Tiny Object Detection
    (arXiv 2110.13389). It changes evenly with the offset, where the IoU of a tiny box falls
    to 0 within a few pixels.

    Args:
        found, wanted: boxes, shape [M, 4] each, pixels.

    Returns:
        shape [M], pixels.
    """
    apart = to_centres(found) - to_centres(wanted)
    squared = apart[:, :2].square().sum(dim=-1) + (apart[:, 2:] / 2).square().sum(dim=-1)
    return squared.clamp(min=1e-12).sqrt()  # the root of 0 has no finite gradient


def decoded_positives(outputs: Outputs, matched: Matched) -> Tensor:
    """Boxes that the positives predict, shape [M, 4], pixels."""
    deltas = outputs.deltas[matched.rows].float()
    return decode_boxes(deltas, matched.priors_cxcywh, matched.variances)


@dataclass(frozen=True)
class DistanceIoUBoxes:
    """1 - DIoU of the decoded boxes, one vote per face: the mean over faces of their positives'.

    A face above 96 px has about 40 positives by overlap, one of 8 to 16 px between one and two; in
    a sum over positives the large ones decide. Of faces below ``small_face`` a share of the term is
    1 - exp(-W / distance_scale) with W of :func:`gaussian_distance`, the loss of that paper.

    Args:
        small_face: side, sqrt(w h) in pixels of the network input, below which a face is small.
        distance_share: of the distance in the term of small faces, 0 to 1.
        distance_scale: pixels; of the order of the small faces.
    """

    small_face: float = 16.0
    distance_share: float = 0.2
    distance_scale: float = 12.0

    def __post_init__(self) -> None:
        if not (0 <= self.distance_share <= 1 and 0 <= self.small_face < math.inf):
            raise ValueError(
                "expected a distance_share from 0 to 1 and a small_face of 0 or more, got "
                f"{self.distance_share} and {self.small_face}; set loss.terms.box.NAME"
            )
        if not 0 < self.distance_scale < math.inf:
            raise ValueError(
                f"expected a distance_scale above 0, got {self.distance_scale}; "
                "set loss.terms.box.distance_scale"
            )

    def __call__(self, outputs: Outputs, matched: Matched) -> Tensor:
        found, wanted = decoded_positives(outputs, matched), matched.boxes
        loss = 1 - distance_iou(found, wanted)
        far = 1 - torch.exp(-gaussian_distance(found, wanted) / self.distance_scale)
        share = self.distance_share * (box_sides(wanted) < self.small_face)
        loss = loss + share * (far - loss)
        _, face, count = matched.face.unique(return_inverse=True, return_counts=True)
        return (loss / count[face]).sum() / max(len(count), 1)


def quality_focal(margin: Tensor, quality: Tensor, beta: float) -> Tensor:
    """|y - s|^beta BCE(z, y) with s = sigmoid(z), of margins z and qualities y of one shape.

    Source: Li et al., Generalized Focal Loss (NeurIPS 2020), eq. 2.
    """
    wrong = (quality - margin.sigmoid()).abs() ** beta
    return wrong * F.binary_cross_entropy_with_logits(margin, quality, reduction="none")


@dataclass(frozen=True)
class QualityFocalLoss:
    """sum |y - s|^beta BCE(z, y) / positives: the score learns how well its box fits.

    z is the face logit minus the background logit, s = sigmoid(z); y is IoU^``iou_power`` of the
    decoded box and its face for positives and 0 for background. All background counts, weighed by
    how wrong it is, so no negatives are mined.

    Source: Li et al., Generalized Focal Loss (NeurIPS 2020), eq. 2. There the classes are apart;
    the difference of two logits is the same number that softmax and the decoder use.

    Args:
        beta: how much what is nearly right counts less; 1 or more.
        iou_power: 1: y is the IoU; 0.5: its root, which asks more of small faces, whose boxes
            overlap less.
    """

    beta: float = 2.0
    iou_power: float = 1.0

    def __post_init__(self) -> None:
        if not (1 <= self.beta < math.inf and 0 < self.iou_power < math.inf):
            raise ValueError(
                "expected a beta of 1 or more and an iou_power above 0, got "
                f"{self.beta} and {self.iou_power}; set loss.terms.class.NAME"
            )

    def __call__(self, outputs: Outputs, matched: Matched) -> Tensor:
        logits = outputs.logits.float()
        margin = logits[..., 1] - logits[..., 0]
        with torch.no_grad():
            overlap = paired_iou(decoded_positives(outputs, matched), matched.boxes)
            quality = torch.zeros_like(margin)
            quality[matched.rows] = overlap**self.iou_power
        counted = matched.positive | matched.negative
        loss = quality_focal(margin, quality, self.beta)
        return loss.where(counted, 0).sum() / max(len(matched.face), 1)
