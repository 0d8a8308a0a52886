"""Loss terms of a detector: one callable per term, combined by :class:`WeightedTerms`.

A term is any callable ``term(outputs, matched) -> scalar``; :class:`src.types.Matched` holds the
label of every prior and the positives beside their faces. The defaults are RetinaFace's multi-task
loss (Deng et al., CVPR 2020, eq. 1) in the form of its PyTorch code, with which FeatherFace was
trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from src.detection.coding import encode_boxes, encode_landmarks
from src.types import LossTerms, Matched, Outputs

LossTerm = Callable[[Outputs, Matched], Tensor]
"""Outputs [B, P, .] and what they should have been -> scalar, 0 with a graph when idle."""


@dataclass(frozen=True)
class SmoothL1Boxes:
    """Smooth L1 of the encoded boxes, summed over positives and divided by their number."""

    def __call__(self, outputs: Outputs, matched: Matched) -> Tensor:
        wanted = encode_boxes(matched.boxes, matched.priors_cxcywh, matched.variances)
        found = outputs.deltas[matched.rows].float()
        return F.smooth_l1_loss(found, wanted, reduction="sum") / max(len(wanted), 1)


@dataclass(frozen=True)
class SmoothL1Landmarks:
    """Smooth L1 of the encoded landmarks over positives whose face has them."""

    def __call__(self, outputs: Outputs, matched: Matched) -> Tensor:
        known = matched.has_landmarks
        wanted = encode_landmarks(
            matched.landmarks[known], matched.priors_cxcywh[known], matched.variances
        )
        found = outputs.landmarks[matched.rows][known].float()
        return F.smooth_l1_loss(found, wanted, reduction="sum") / max(len(wanted), 1)


@dataclass(frozen=True)
class HardNegativeCrossEntropy:
    """Cross entropy over positives and, per image, the hardest negatives.

    Source: SSD, section 2.2 (hard negative mining), ratio of RetinaFace. The sum is divided by the
    number of positives of the batch.

    Args:
        negatives_per_positive: negatives kept per positive of the same image.
        min_negatives: kept at least, so that an image without faces teaches too; the published crop
            always holds a face, so the published recipe never meets that case.
    """

    negatives_per_positive: float = 7
    min_negatives: int = 7

    def __post_init__(self) -> None:
        if self.negatives_per_positive <= 0 or self.min_negatives < 0:
            raise ValueError(
                "expected negatives_per_positive > 0 and min_negatives >= 0, got "
                f"{self.negatives_per_positive} and {self.min_negatives}"
            )

    def __call__(self, outputs: Outputs, matched: Matched) -> Tensor:
        positive, negative = matched.positive, matched.negative
        # Of two classes the cross entropy is softplus of how far the wrong one is ahead.
        detached = outputs.logits.detach().float()
        hardest = hardest_negatives(
            detached[..., 1] - detached[..., 0], positive, negative,
            self.negatives_per_positive, self.min_negatives,
        )  # fmt: skip
        rows = (positive | hardest).nonzero(as_tuple=True)  # few of all
        kept = outputs.logits[rows].float()
        sign = torch.where(positive[rows], -1.0, 1.0)
        loss = F.softplus(sign * (kept[:, 1] - kept[:, 0]))
        return loss.sum() / max(len(matched.face), 1)


def hardest_negatives(
    loss: Tensor, positive: Tensor, negative: Tensor, ratio: float, minimum: int
) -> Tensor:
    """The negatives of largest loss, ``max(ratio * positives, minimum)`` per image.

    Of equal losses the first in the image, as a stable sort has it.

    Args:
        loss: shape [B, P], or what rises with it.
        positive, negative: shape [B, P] bool, disjoint.
        ratio: negatives per positive.
        minimum: negatives at least.

    Returns:
        shape [B, P] bool.
    """
    wanted = (positive.sum(dim=1) * ratio).clamp(min=minimum).ceil().long()
    wanted = wanted.minimum(negative.sum(dim=1))[:, None]
    most = max(int(wanted.max()), 1) if wanted.numel() else 1
    loss = loss.where(negative, -torch.inf)
    # The last loss that is in, rather than a full sort of all: 7 of 8 rows are far below it.
    last = loss.topk(most, dim=1).values.gather(1, (wanted - 1).clamp(min=0))
    # Not `loss > last`: a loss that is no number must be found, and end the training.
    harder = ~(loss <= last)
    equal = (loss == last) & negative
    left = wanted - harder.sum(dim=1, keepdim=True)
    return (harder | (equal & (equal.cumsum(dim=1) <= left))) & negative


class WeightedTerms:
    """Sum of named loss terms.

    Args:
        terms: name -> :class:`LossTerm`.
        weights: name -> factor; must name the same terms.
    """

    def __init__(self, terms: Mapping[str, LossTerm], weights: Mapping[str, float]) -> None:
        if set(terms) != set(weights):
            raise ValueError(
                f"expected one weight per loss term {sorted(terms)}, got {sorted(weights)}"
            )
        self.terms = dict(terms)
        self.weights = {name: float(weights[name]) for name in terms}

    def __call__(self, outputs: Outputs, matched: Matched) -> LossTerms:
        parts = {name: term(outputs, matched) for name, term in self.terms.items()}
        total = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
        return LossTerms(total, parts)
