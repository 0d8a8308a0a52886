"""Dynamic assignment: each face takes the priors that predict it best, in class and in place.

Source: SimOTA (YOLOX, Ge et al., arXiv 2107.08430), in the form with soft labels of RTMDet (Lyu et
al., arXiv 2212.07784), which NanoDet-Plus uses, too. All of them weigh -ln IoU by 3. Ours are the
region, one stride around the centre rather than 2.5, and the second positive of small faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from src.detection.assignment import check_ignore_below, ignore_missed
from src.detection.boxes import box_sides, paired_iou
from src.detection.coding import decode_boxes
from src.detection.priors import Priors
from src.detection.reach import near_pairs
from src.types import Assignment, Outputs, Targets

SMALLEST_IOU = 1e-7
"""Keeps the logarithm of an overlap of 0 finite."""


@dataclass(frozen=True)
class DynamicAssigner:
    """The k cheapest candidates of a face answer for it; k follows how well they fit.

    Candidates of a face are priors whose cell centre is inside it or within one stride of its
    centre and whose side is within a factor of 4 of its own. With y the IoU of the decoded box and
    the face, z the face logit minus the background logit and s = sigmoid(z), a candidate costs

        |y - s|^2 BCE(z, y) - iou_weight ln y,

    and k is the sum of the ``top_k`` largest y, rounded down, but at least 1 (faces below
    ``small_face``: ``small_face_positives``) and at most ``top_k``. A prior that several faces want
    answers for the one to which it is cheapest. A face that loses all its priors this way takes its
    cheapest candidate that is not another's only or best one.

    Priors that look at a flagged face count neither as faces nor as background; with
    ``ignore_below`` the same holds for faces below it and for those without a positive
    (:func:`src.detection.assignment.ignore_missed`).

    Args:
        iou_weight: of the overlap in the cost.
        top_k: priors that a face may have, and overlaps that are summed.
        small_face: side, sqrt(w h) in pixels of the network input, below which a face is small.
        small_face_positives: a small face's priors at least.
        ignore_below: side below which faces take nothing; 0: all take part, and what is missed is
            background.
    """

    iou_weight: float = 3.0
    top_k: int = 10
    small_face: float = 16.0
    small_face_positives: int = 2
    ignore_below: float = 5.0

    def __post_init__(self) -> None:
        if not (self.iou_weight >= 0 and self.small_face >= 0):
            raise ValueError(
                "expected an iou_weight and a small_face of 0 or more, got "
                f"{self.iou_weight} and {self.small_face}; set assigner.NAME"
            )
        if not 1 <= self.small_face_positives <= self.top_k:
            raise ValueError(
                "expected 1 <= small_face_positives <= top_k, got "
                f"small_face_positives={self.small_face_positives}, top_k={self.top_k}; "
                "set assigner.NAME"
            )
        check_ignore_below(self.ignore_below)

    def __call__(self, priors: Priors, outputs: Outputs, targets: Targets) -> Assignment:
        shape = outputs.logits.shape[:2]
        images, rows = shape
        num_faces = len(targets.boxes)
        sides = box_sides(targets.boxes)
        usable = ~targets.ignore & (sides >= self.ignore_below)
        pairs = near_pairs(priors, targets.boxes, sides, inside=True)
        pairs = pairs.where(usable[pairs.face])
        image, face = targets.image_index[pairs.face], pairs.face

        deltas = outputs.deltas[image, pairs.prior].float()
        decoded = decode_boxes(deltas, priors.boxes_cxcywh[pairs.prior], priors.variances)
        overlap = paired_iou(decoded, targets.boxes[face])
        logits = outputs.logits[image, pairs.prior].float()
        cost = self._cost(logits[:, 1] - logits[:, 0], overlap)

        order = overlap.argsort(descending=True)
        rank = _ranks(face[order], num_faces)
        order, rank = order[rank < self.top_k], rank[rank < self.top_k]
        largest = overlap.new_zeros(num_faces, self.top_k)
        largest[face[order], rank] = overlap[order]
        least = torch.where(sides < self.small_face, self.small_face_positives, 1)
        num_wanted = largest.sum(dim=1).long().clamp(max=self.top_k).maximum(least)

        order = cost.argsort(stable=True)
        face, slot = face[order], (image * rows + pairs.prior)[order]
        wanted = _ranks(face, num_faces) < num_wanted[face]
        face_of_slot = _share_out(face, slot, wanted, num_faces, images * rows)
        positive = face_of_slot >= 0
        assignment = Assignment(
            face_of_slot.clamp(min=0).view(shape), positive.to(torch.int8).view(shape)
        )
        missed = None if self.ignore_below else targets.ignore
        return ignore_missed(assignment, priors, targets, missed)

    def _cost(self, margin: Tensor, overlap: Tensor) -> Tensor:
        """The cost of pairs, from the margins of their logits and their overlaps, each [N]."""
        distance = (overlap - margin.sigmoid()).square()
        entropy = F.softplus(margin) - overlap * margin
        return distance * entropy - self.iou_weight * overlap.clamp(min=SMALLEST_IOU).log()


def _ranks(group: Tensor, num_groups: int) -> Tensor:
    """Place of each element among those of its group, from 0, in the order given: [N] -> [N]."""
    order = group.argsort(stable=True)
    count = group.bincount(minlength=num_groups)
    begin = count.cumsum(0) - count
    place = torch.arange(len(group), device=group.device)
    return torch.empty_like(group).scatter(0, order, place - begin[group[order]])


def _share_out(
    face: Tensor, slot: Tensor, wanted: Tensor, num_faces: int, num_slots: int
) -> Tensor:
    """Which face gets each prior.

    Args:
        face, slot: candidates, shape [N] each, the cheapest first; a slot is a prior of an image.
        wanted: shape [N] bool, those that their face asks for.
        num_faces: of the batch.
        num_slots: of the batch.

    Returns:
        face of each slot, shape [num_slots] int64, -1 for none.
    """
    none = len(face)

    def first(index: Tensor, group: Tensor, size: int) -> Tensor:
        """The cheapest candidate of each group, or ``none``."""
        return torch.full((size,), none, device=face.device).scatter_reduce(
            0, group[index], index, "amin"
        )

    holder = first(wanted.nonzero().squeeze(-1), slot, num_slots)  # a candidate per slot
    while True:
        held = holder[holder < none]
        best = first(held, face, num_faces)  # of each face's own
        kept = torch.zeros(num_slots, dtype=torch.bool, device=face.device)
        kept[slot[best[best < none]]] = True
        # Each round serves a face or ends: most batches need one or two.
        bids = ((best == none)[face] & ~kept[slot]).nonzero().squeeze(-1)
        if not len(bids):
            break
        bid = first(bids, face, num_faces)
        won = first(bid[bid < none], slot, num_slots)
        holder = won.where(won < none, holder)
    result = torch.full((num_slots,), -1, device=face.device)
    result[slot[held]] = face[held]
    return result
