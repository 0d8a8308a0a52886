"""What scores are worth: how many of the boxes with a score are faces.

A loss that trains scores to the overlap with the face (quality focal loss) gives good rankings and
low scores: of a network trained so, boxes of 0.4 may be right nine times out of ten, and at the
usual threshold of 0.5 half of what it finds is thrown away. How often boxes of a score are right
is fit by the logistic curve of Platt ("Probabilistic outputs for support vector machines", 1999).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from src.evaluation.ground_truth import LEVELS, ImageTruth
from src.evaluation.wider_ap import FIRST_HIT, match_image

FEWEST = 50
"""Boxes on faces, and beside faces, that a fit needs; fewer say nothing about the next image."""
_HARD = np.uint8(1 << LEVELS.index("hard"))
_SURE = 1e-6


class Judged(NamedTuple):
    """Boxes of which the ground truth says what they are; those on ignored faces are left out."""

    scores: np.ndarray
    """[K] float64, 0 to 1."""
    right: np.ndarray
    """[K] bool: the best box on a face that the hard setting counts."""
    num_faces: int
    """Faces that it counts."""


def judge(predictions: Mapping[str, np.ndarray], truth: Mapping[str, ImageTruth]) -> Judged:
    """Which boxes are right, matched as AP matches them.

    Args:
        predictions: name -> [K, 5] (x, y, w, h, score), best first.
        truth: name -> labelled faces, of at least those images.
    """
    matches = [match_image(rows, truth[name]) for name, rows in predictions.items()]
    flags = np.concatenate([np.empty(0, np.uint8), *(each.flags for each in matches)])
    scores = np.concatenate([np.empty(0), *(each.scores for each in matches)])
    counted = (flags & _HARD) > 0
    faces = sum(int(truth[name].hard.sum()) for name in predictions)
    return Judged(scores[counted], (flags[counted] & FIRST_HIT) > 0, faces)


def even_logit(judged: Judged) -> float:
    """The logit of the score at which a box is as likely right as wrong.

    Raises:
        ValueError: too few boxes, or scores that say nothing about being right.
    """
    right = int(judged.right.sum())
    wrong = len(judged.right) - right
    if min(right, wrong) < FEWEST:
        raise ValueError(
            f"expected at least {FEWEST} boxes on faces and as many beside them, got {right} and "
            f"{wrong}; take more images, or a lower decoder.score_threshold"
        )
    scores = judged.scores.clip(_SURE, 1 - _SURE)
    logits = np.log(scores / (1 - scores))

    def surprise(line: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean negative log-likelihood of a slope and an offset, and its gradient."""
        raised = line[0] * logits + line[1]
        error = 1 / (1 + np.exp(-raised)) - judged.right
        value = np.logaddexp(0, raised) - judged.right * raised
        return float(value.mean()), np.array([(error * logits).mean(), error.mean()])

    slope, offset = minimize(surprise, np.array([1.0, 0.0]), jac=True).x
    if not slope > 0:
        raise ValueError(
            "expected scores that are higher for boxes on faces, got others; is this network "
            "trained, and for these images?"
        )
    return float(-offset / slope)


def raised(judged: Judged, logit: float) -> Judged:
    """The same boxes, the logits of their scores higher by ``logit``."""
    with np.errstate(divide="ignore"):  # scores of 0 and 1 stay
        logits = np.log(judged.scores) - np.log1p(-judged.scores)
    return judged._replace(scores=1 / (1 + np.exp(-logits - logit)))


class Operation(NamedTuple):
    """A detector used at one threshold."""

    threshold: float
    precision: float
    """Right boxes of all; NaN without a box."""
    recall: float
    """Faces found of all that the hard setting counts."""
    wrong: int
    """Boxes beside faces."""


def operate(judged: Judged, threshold: float) -> Operation:
    """What comes out where boxes from a score on are kept."""
    kept = judged.right[judged.scores >= threshold]
    right = int(kept.sum())
    return Operation(
        threshold,
        right / len(kept) if len(kept) else float("nan"),
        right / judged.num_faces if judged.num_faces else float("nan"),
        len(kept) - right,
    )
