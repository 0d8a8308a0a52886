"""Assignment: which prior answers for which face.

An assigner is any callable ``assign(priors, outputs, targets) -> Assignment``. It sees the
network's outputs so that dynamic assigners, which prefer the priors that already predict a face
well, fit the same place; those of this file do not use their values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from src.detection.boxes import pairwise_iou, to_corners
from src.detection.priors import Priors
from src.types import Assignment, Matched, Outputs, Targets

Assigner = Callable[[Priors, Outputs, Targets], Assignment]
"""Priors, detached outputs [B, P, .] and the faces of the batch -> the label of every prior."""


def gather_positives(assignment: Assignment, priors: Priors, targets: Targets) -> Matched:
    """Put each positive prior beside its face, once for all loss terms."""
    positive = assignment.labels == 1
    image, prior = positive.nonzero(as_tuple=True)
    face = assignment.face_index[image, prior]
    return Matched(
        positive=positive,
        negative=assignment.labels == 0,
        rows=(image, prior),
        face=face,
        boxes=targets.boxes[face],
        landmarks=targets.landmarks[face],
        has_landmarks=targets.has_landmarks[face],
        priors_cxcywh=priors.boxes_cxcywh[prior],
        variances=priors.variances,
    )


@dataclass(frozen=True)
class MaxIoUAssigner:
    """Every prior takes the face it overlaps most; every face keeps its best prior.

    Source: SSD (Liu et al., ECCV 2016), section 2.2, with RetinaFace's thresholds. Where two faces
    share their best prior, the later one in the label file has it, as in the published code. It
    differs there in one point: a face whose best overlap is below ``min_best_iou`` takes nothing,
    where the published code re-labels its best prior if that answers for another face.

    Priors that overlap an ignored face by ``iou_threshold`` and answer for no other face count
    neither as faces nor as background.

    Args:
        iou_threshold: overlap from which a prior is positive.
        min_best_iou: overlap that a face's best prior must have to be forced positive.
    """

    iou_threshold: float = 0.35
    min_best_iou: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.min_best_iou <= self.iou_threshold < 1:
            raise ValueError(
                "expected 0 < min_best_iou <= iou_threshold < 1, got "
                f"min_best_iou={self.min_best_iou}, iou_threshold={self.iou_threshold}"
            )

    def __call__(self, priors: Priors, outputs: Outputs, targets: Targets) -> Assignment:
        shape = outputs.logits.shape[:2]
        # One row per face of the batch rather than one block per image: no padding to the most
        # crowded image, and no loop.
        overlaps = pairwise_iou(targets.boxes, to_corners(priors.boxes_cxcywh))  # [F, P]
        usable = ~targets.ignore
        best, face_index = _best_face(overlaps.where(usable[:, None], -1.0), targets, shape)
        labels = (best >= self.iou_threshold).to(torch.int8)

        ignored, _ = _best_face(overlaps.where(targets.ignore[:, None], -1.0), targets, shape)
        labels.masked_fill_((ignored >= self.iou_threshold) & (labels == 0), -1)

        best_overlap, best_prior = overlaps.max(dim=1)  # of each face
        forced = usable & (best_overlap >= self.min_best_iou)
        # One write per face; of several faces with the same best prior the largest index stays.
        claim = torch.full(shape, -1, device=overlaps.device)
        claim = claim.flatten().scatter_reduce(
            0,
            targets.image_index * shape[1] + best_prior,
            torch.arange(len(overlaps), device=overlaps.device).where(forced, -1),
            "amax",
        )
        claim = claim.view(shape)
        claimed = claim >= 0
        return Assignment(
            face_index=claim.where(claimed, face_index),
            labels=labels.masked_fill(claimed, 1),
        )


def _best_face(
    overlaps: Tensor, targets: Targets, shape: tuple[int, ...] | torch.Size
) -> tuple[Tensor, Tensor]:
    """Largest overlap of each prior with faces of its own image, and the first face that has it.

    overlaps [F, P] -> ([B, P], [B, P] int64; -1 and 0 for images without faces).
    """
    rows = targets.image_index[:, None].expand_as(overlaps)
    best = overlaps.new_full(shape, -1.0).scatter_reduce(0, rows, overlaps, "amax")
    faces = torch.arange(len(overlaps), device=overlaps.device)[:, None].expand_as(overlaps)
    last = len(overlaps)
    candidates = faces.where(overlaps == best[targets.image_index], last)
    index = torch.full(shape, last, device=overlaps.device)
    index = index.scatter_reduce(0, rows, candidates, "amin")
    return best, index.where(best >= 0, 0)
