"""Distillation cell by cell: the fitting prior of each learns what a teacher sees there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from src.detection.boxes import box_sides
from src.detection.coding import decode_boxes
from src.detection.iou_losses import distance_iou, quality_focal
from src.detection.objective import DetectionObjective
from src.detection.priors import priors_for
from src.distillation.yunet import STRIDES, Seen, YuNet
from src.models import FaceDetector
from src.types import Batch, LossTerms, Outputs

SIGN = 0.02
"""Teacher's score from which its box says which prior of a cell is meant."""
FOREGROUND = 0.1
"""Teacher's score from which its boxes are imitated."""
BETA = 2.0
"""How much what is nearly right counts less, as in the supervised loss."""
BOX_WEIGHT = 2.0
"""Of boxes beside scores, as in the supervised loss."""


class CellDistillation(nn.Module):
    """L = alpha L_distill + (1 - alpha) L_task, with a teacher that predicts once a cell.

    L_distill is sum |t - s|^2 BCE(z, t) / sum t over all cells (t the teacher's score, z the
    student's face logit minus its background logit, s = sigmoid(z)), the quality focal loss (Li et
    al., NeurIPS 2020, eq. 2) on soft labels, plus 2 (1 - DIoU) of the boxes where the teacher
    believes in a face, weighted by its score. In a cell counts the prior whose side is nearest to
    the teacher's box, and the student's highest one where the teacher sees nothing.

    Args:
        supervised: L_task.
        teacher: what is imitated.
        alpha: share of L_distill, 0 to 1.

    Raises:
        ValueError: an alpha out of range.
    """

    def __init__(self, supervised: DetectionObjective, teacher: YuNet, *, alpha: float) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"expected an alpha from 0 to 1, got {alpha}; set kd.alpha")
        self.supervised = supervised
        self.teacher = teacher
        self.alpha = alpha

    def parameter_groups(self) -> list[dict[str, Any]]:
        """None: nothing is learned here."""
        return []

    def settings(self) -> dict[str, Any]:
        """The settings of the objective, as plain values; a resumed run must have the same."""
        return {"alpha": self.alpha, "teacher": self.teacher.checksum}

    def forward(self, network: FaceDetector, batch: Batch) -> tuple[Outputs, LossTerms]:
        """Run student and teacher on a batch and compare.

        Parts of the loss: those of the supervised one and ``task``, their sum; ``kd_class``,
        ``kd_box`` and ``kd``, their sum.

        Raises:
            ValueError: the student's strides are not those of the teacher.
        """
        if tuple(network.priors.strides) != STRIDES:
            raise ValueError(
                f"expected a student with strides {STRIDES} for YuNet, got "
                f"{tuple(network.priors.strides)}; choose another model"
            )
        outputs, task = self.supervised(network, batch)
        seen = self.teacher(batch.images)
        priors = priors_for(network.priors, batch.images.shape, outputs.deltas.device)
        with torch.autocast(outputs.deltas.device.type, enabled=False):
            margin = outputs.logits.float()
            margin = margin[..., 1] - margin[..., 0]
            row = fitting_rows(seen, margin, priors.boxes_cxcywh[:, 2], network.priors.num_per_cell)
            score = soft_focal(margin.gather(1, row), seen.scores)
            believed = (seen.scores > FOREGROUND).nonzero(as_tuple=True)
            rows = row[believed]
            found = decode_boxes(
                outputs.deltas[believed[0], rows].float(), priors.boxes_cxcywh[rows],
                priors.variances,
            )  # fmt: skip
            weight = seen.scores[believed]
            apart = 1 - distance_iou(found, seen.boxes[believed])
            box = (weight * apart).sum() / weight.sum().clamp(min=1)
            distilled = score + BOX_WEIGHT * box
        parts = {**task.parts, "task": task.total, "kd_class": score, "kd_box": box}
        parts["kd"] = distilled
        return outputs, LossTerms(self.alpha * distilled + (1 - self.alpha) * task.total, parts)


def fitting_rows(seen: Seen, margin: Tensor, sides: Tensor, num_per_cell: int) -> Tensor:
    """The row of the student that each cell's prediction of the teacher is for.

    Args:
        seen: by the teacher, in C cells.
        margin: face logits minus background logits, shape [B, C * num_per_cell].
        sides: of the priors, shape [C * num_per_cell], pixels.
        num_per_cell: priors of a cell.

    Returns:
        shape [B, C] int64.
    """
    batch, cells = seen.scores.shape
    highest = margin.detach().view(batch, cells, num_per_cell).argmax(dim=-1)
    wanted = box_sides(seen.boxes.flatten(0, 1)).clamp(min=1).log().view(batch, cells, 1)
    nearest = (wanted - sides.log().view(1, cells, num_per_cell)).abs().argmin(dim=-1)
    place = torch.where(seen.scores > SIGN, nearest, highest)
    first = torch.arange(cells, device=margin.device) * num_per_cell
    return first + place


def soft_focal(margin: Tensor, target: Tensor) -> Tensor:
    """sum |t - s|^2 BCE(z, t) / sum t of margins and targets [B, C] -> scalar."""
    return quality_focal(margin, target, BETA).sum() / target.sum().clamp(min=1)
