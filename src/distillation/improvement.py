"""Labels improved by a teacher: what it sees and the annotators did not, and the other way round.

A detector that was never wrong would lose its training signal here; one that is right most of the
time takes away what the labels punish unjustly. After pseudo-labels (Lee, ICML workshop 2013) and
noisy student (Xie et al., CVPR 2020), kept to what detection needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from src.detection.boxes import pairwise_iou
from src.types import Detections, Faces

SAME = 0.5
"""IoU from which a detection and a label are one face, as in the WIDER FACE evaluation."""
APART = 0.3
"""IoU with every label below which a detection is a face of its own, no poor box of a known one."""
NEAR = 0.1
"""IoU with a label from which a detection counts as a sign of that face."""


@dataclass(frozen=True)
class LabelImprovement:
    """The faces of one image, corrected by a teacher's detections.

    - What the teacher believes to be a face and nobody labelled is ignored, not background.
    - A small face of which the teacher has no sign is ignored: nobody can learn it.
    - Where both agree, the box moves a little from the label towards the teacher's, and a face
      without landmarks gets the teacher's.

    Args:
        believed: score from which the teacher is believed about a labelled face.
        unlabelled: score from which it is believed about one that nobody labelled; 1: never.
        seen: score from which a detection is a sign of a face.
        unseen_below: size (sqrt(width height), original pixels) of faces that need such a sign.
        share: of the teacher in the box of a face that both know, 0 to 1.
    """

    believed: float = 0.3
    unlabelled: float = 0.3
    seen: float = 0.05
    unseen_below: float = 10.0
    share: float = 0.3

    def __post_init__(self) -> None:
        for name in ("believed", "unlabelled", "seen", "share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"expected {name} from 0 to 1, got {getattr(self, name)}; "
                    f"set data.improvement.rules.{name}"
                )
        if self.unseen_below < 0:
            raise ValueError(
                f"expected unseen_below of at least 0 pixels, got {self.unseen_below}; "
                "set data.improvement.rules.unseen_below"
            )

    def __call__(self, faces: Faces, found: Detections) -> Faces:
        """Faces [N] and detections [K] of an image -> its faces [N], then regions to ignore."""
        overlaps = pairwise_iou(torch.from_numpy(faces.boxes), found.boxes).numpy()
        boxes, landmarks, has_landmarks, ignore = (column.copy() for column in faces)
        scores, believed = found.scores.numpy(), found.scores.numpy() >= self.believed

        pairs = np.where(believed & ~ignore[:, None], overlaps, 0.0)
        face, detection = _best_of_each_other(pairs, SAME)
        boxes[face] += np.float32(self.share) * (found.boxes.numpy()[detection] - boxes[face])
        without = ~has_landmarks[face]
        landmarks[face[without]] = found.landmarks.numpy()[detection[without]]
        has_landmarks[face] = True

        sizes = np.sqrt((faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1))
        signs = overlaps[:, scores >= self.seen] >= NEAR
        ignore |= (sizes < self.unseen_below) & ~signs.any(axis=1)

        regions = found.boxes.numpy()[(scores > self.unlabelled) & (overlaps < APART).all(axis=0)]
        more = len(regions)
        return Faces(
            np.concatenate([boxes, regions]),
            np.concatenate([landmarks, np.zeros((more, *landmarks.shape[1:]), np.float32)]),
            np.concatenate([has_landmarks, np.zeros(more, bool)]),
            np.concatenate([ignore, np.ones(more, bool)]),
        )


def _best_of_each_other(values: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the values [N, K] that are the largest of both, from ``least`` on."""
    if not values.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    column = values.argmax(axis=1)
    row = np.arange(len(values))
    chosen = (values.argmax(axis=0)[column] == row) & (values[row, column] >= least)
    return row[chosen], column[chosen]
