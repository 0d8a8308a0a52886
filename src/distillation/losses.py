"""What student and teacher disagree about: pure functions on the rows that they share.

Published form (Khan et al., Sci. Rep. 15:11932, 2025, after Hinton et al., arXiv 1503.02531): KL
divergence of softened classes, mean squared error of regressions. Which rows count is our own
design: more than 99% of all rows are background, where the teacher's boxes were never trained.
"""

from __future__ import annotations

import torch
from torch import Tensor

from src.detection.losses import hardest_negatives
from src.types import Matched, Outputs

SEEN = 0.05
"""Teacher's face probability from which a row's classes are compared whatever its label."""
FOREGROUND = 0.1
"""Teacher's face probability from which its boxes, landmarks and features are imitated."""
NEGATIVES_PER_POSITIVE = 7
MIN_NEGATIVES = 7
"""As in the supervised loss (RetinaFace's ratio)."""


def face_probability(logits: Tensor) -> Tensor:
    """Logits [..., 2] -> probability of a face [...], at temperature 1."""
    return torch.softmax(logits.float(), dim=-1)[..., 1]


def compared_rows(logits: Tensor, matched: Matched) -> Tensor:
    """Rows whose classes are compared whatever the teacher says.

    Positives and the negatives that the student finds hardest (SSD, section 2.2).

    Args:
        logits: of the student, shape [B, P, 2].
        matched: labels of the same rows.

    Returns:
        shape [B, P] bool.
    """
    # Cross entropy of a negative grows with this margin: the order is the same.
    margin = (logits[..., 1] - logits[..., 0]).detach().float()
    return matched.positive | hardest_negatives(
        margin, matched.positive, matched.negative, NEGATIVES_PER_POSITIVE, MIN_NEGATIVES
    )


def class_term(student: Tensor, teacher: Tensor, rows: Tensor, temperature: float) -> Tensor:
    """T^2 * mean over rows of KL(softmax(teacher / T) || softmax(student / T)).

    T^2 keeps the gradient's size when T changes (Hinton et al., section 2).

    Args:
        student: logits, shape [B, T, 2].
        teacher: logits of the same rows.
        rows: shape [B, T], how much each row counts; bool: which ones do.
        temperature: softens both, above 0.

    Returns:
        scalar; 0 with a graph where no row counts.
    """
    s = torch.log_softmax(student.float() / temperature, dim=-1)
    t = torch.log_softmax(teacher.float() / temperature, dim=-1)
    divergence = (t.exp() * (t - s)).sum(dim=-1)
    # All rows and a factor rather than a selection: nothing waits for the number of rows.
    return (
        temperature**2
        * (divergence * rows).sum()
        / rows.sum().clamp(min=1e-6 if rows.is_floating_point() else 1)
    )


def foreground_weight(probability: Tensor) -> Tensor:
    """The teacher's face probability, 0 where it sees background."""
    return probability * (probability > FOREGROUND)


def regression_term(student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over rows of the mean squared difference of their offsets.

    Args:
        student: encoded boxes or landmarks, shape [B, T, K].
        teacher: those of the same rows.
        weight: shape [B, T], see :func:`foreground_weight`.

    Returns:
        scalar; 0 with a graph without foreground.
    """
    squared = (student.float() - teacher.float()).square().mean(dim=-1)
    return (weight * squared).sum() / weight.sum().clamp(min=1e-6)


def distillation_terms(
    student: Outputs,
    teacher: Outputs,
    compared: Tensor,
    temperature: float,
    importance: Tensor | None = None,
) -> dict[str, Tensor]:
    """Disagreement of the rows that both have.

    Args:
        student: its shared rows, [B, T, .].
        teacher: the same rows.
        compared: shape [B, T] bool, see :func:`compared_rows`.
        temperature: of the classes.
        importance: [T], how much each row counts beside the others; None: all alike.

    Returns:
        scalars ``class``, ``box`` and ``landmark``.
    """
    probability = face_probability(teacher.logits)
    weight = foreground_weight(probability)
    rows = compared | (probability > SEEN)
    if importance is not None:
        weight, rows = weight * importance, rows * importance
    return {
        "class": class_term(student.logits, teacher.logits, rows, temperature),
        "box": regression_term(student.deltas, teacher.deltas, weight),
        "landmark": regression_term(student.landmarks, teacher.landmarks, weight),
    }
