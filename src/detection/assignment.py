"""Assignment: which prior answers for which face.

An assigner is any callable ``assign(priors, outputs, targets) -> Assignment``. It sees the
network's outputs for those that prefer priors which already predict a face well, as
:mod:`src.detection.dynamic` does; that of this file does not use their values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from src.detection.boxes import box_sides
from src.detection.priors import Priors
from src.detection.reach import near_pairs, overlapping_pairs
from src.types import Assignment, Matched, Outputs, Targets

MISSED_IOU = 0.1
"""Overlap from which a prior looks at a face that no prior answers for."""

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
        ignore_below: side, sqrt(w h) in pixels of the network input, below which a face takes
            nothing; such faces, and those that no prior answers for, are no background either
            (:func:`ignore_missed`). 0: as published, all take part, and what is missed is
            background.
    """

    iou_threshold: float = 0.35
    min_best_iou: float = 0.2
    ignore_below: float = 0

    def __post_init__(self) -> None:
        if not 0 < self.min_best_iou <= self.iou_threshold < 1:
            raise ValueError(
                "expected 0 < min_best_iou <= iou_threshold < 1, got "
                f"min_best_iou={self.min_best_iou}, iou_threshold={self.iou_threshold}"
            )
        check_ignore_below(self.ignore_below)

    def __call__(self, priors: Priors, outputs: Outputs, targets: Targets) -> Assignment:
        shape = outputs.logits.shape[:2]
        images, rows = shape
        num_faces = len(targets.boxes)
        pairs, overlaps = overlapping_pairs(priors, targets.boxes, self.min_best_iou)
        slots = targets.image_index[pairs.face] * rows + pairs.prior  # rows of the whole batch
        usable = ~targets.ignore & (box_sides(targets.boxes) >= self.ignore_below)
        taken = usable[pairs.face]
        strong = overlaps >= self.iou_threshold

        wanted = taken & strong
        face_of_slot = _best(
            slots[wanted], overlaps[wanted], pairs.face[wanted], images * rows, num_faces
        )
        slot_of_face = _best(
            pairs.face[taken], overlaps[taken], slots[taken], num_faces, images * rows
        )
        found = slot_of_face < images * rows
        # One write per face; of several faces with the same best prior the largest index stays.
        faces = torch.arange(num_faces, device=found.device)
        claim = torch.full_like(face_of_slot, -1)
        claim = claim.scatter_reduce(0, slot_of_face[found], faces[found], "amax")
        face_of_slot = claim.where(claim >= 0, face_of_slot)

        positive = face_of_slot < num_faces
        labels = positive.to(torch.int8)
        flagged = slots[targets.ignore[pairs.face] & strong]
        labels[flagged] = labels[flagged].where(labels[flagged] == 1, -1)
        assignment = Assignment(face_of_slot.where(positive, 0).view(shape), labels.view(shape))
        return ignore_missed(assignment, priors, targets) if self.ignore_below else assignment


def _best(group: Tensor, value: Tensor, name: Tensor, num_groups: int, none: int) -> Tensor:
    """The name with the largest value of each group, the smallest such name, or ``none``.

    group, value, name: shape [N], values above 0 -> [num_groups] int64.
    """
    best = value.new_zeros(num_groups).scatter_reduce(0, group, value, "amax")
    first = value == best[group]
    names = torch.full((num_groups,), none, device=name.device)
    return names.scatter_reduce(0, group[first], name[first], "amin")


def check_ignore_below(value: float) -> None:
    """Raises ValueError for what is no size of a face."""
    if not 0 <= value < math.inf:
        raise ValueError(
            f"expected ignore_below of 0 pixels or more, got {value}; set assigner.ignore_below"
        )


def ignore_missed(
    assignment: Assignment, priors: Priors, targets: Targets, faces: Tensor | None = None
) -> Assignment:
    """Take what looks at a face that no prior answers for out of the background.

    Such a face is too small, lost its priors to others or is flagged in the labels. What looks at
    it are priors within one stride of its centre and of about its size, where a face below the
    smallest priors has their size, and those that overlap it by ``MISSED_IOU``. Priors that answer
    for another face keep it.

    Args:
        assignment: to complete.
        priors: of the image.
        targets: faces of the batch.
        faces: shape [F] bool, only these; None: all.
    """
    missed = torch.ones_like(targets.ignore) if faces is None else faces.clone()
    missed[assignment.face_index[assignment.labels == 1]] = False
    boxes, image = targets.boxes[missed], targets.image_index[missed]
    sides = box_sides(boxes).maximum(priors.grids.sides.min())
    labels = assignment.labels.clone()
    for pairs in (
        near_pairs(priors, boxes, sides, inside=False),
        overlapping_pairs(priors, boxes, MISSED_IOU)[0],
    ):
        rows = (image[pairs.face], pairs.prior)
        labels[rows] = labels[rows].where(labels[rows] == 1, -1)
    return assignment._replace(labels=labels)
