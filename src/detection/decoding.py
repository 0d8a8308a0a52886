"""From raw outputs to detections: scores, boxes, landmarks, suppression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from src.detection.coding import decode_boxes, decode_landmarks
from src.detection.nms import nms
from src.detection.priors import PriorSpec, priors_for
from src.types import NUM_LANDMARKS, Detections, Outputs


class Candidates(NamedTuple):
    """Detections before suppression, padded to the fullest image; best first."""

    boxes: Tensor
    """[B, K, 4] float32, pixels."""
    scores: Tensor
    """[B, K] float32; 0 in padding rows."""
    landmarks: Tensor
    """[B, K, 5, 2] float32, pixels."""


@dataclass(frozen=True)
class Decoder:
    """Which outputs become detections.

    Args:
        score_threshold: lowest score kept; 0.02 in the WIDER FACE protocol, higher for use.
        nms_iou: overlap above which the worse of two boxes goes.
        top_k: best candidates per image that enter suppression.
    """

    score_threshold: float = 0.02
    nms_iou: float = 0.4
    top_k: int = 5000

    def __post_init__(self) -> None:
        if not (0 <= self.score_threshold <= 1 and 0 < self.nms_iou <= 1):
            raise ValueError(
                "expected score_threshold in [0, 1] and nms_iou in (0, 1], got "
                f"{self.score_threshold} and {self.nms_iou}"
            )
        if self.top_k < 1:
            raise ValueError(f"expected top_k of at least 1, got {self.top_k}")

    def candidates(self, outputs: Outputs, spec: PriorSpec, height: int, width: int) -> Candidates:
        """Boxes above the score threshold, best first; the images are ``height`` x ``width``.

        Raises:
            FloatingPointError: scores are no numbers, which would pass for an image without faces.
        """
        scores = outputs.logits.float().softmax(dim=-1)[..., 1]
        if not scores.isfinite().all():
            raise FloatingPointError(
                "expected finite scores, got others from the network; its training diverged, "
                "choose an earlier checkpoint"
            )
        scores, index = best(scores, self.score_threshold, self.top_k)
        priors = priors_for(spec, (height, width), scores.device).boxes_cxcywh[index]
        deltas = take(outputs.deltas, index).float()
        offsets = take(outputs.landmarks, index).float()
        return Candidates(
            decode_boxes(deltas, priors, spec.variances),
            scores,
            decode_landmarks(offsets, priors, spec.variances),
        )

    def suppress(self, candidates: Candidates) -> list[Detections]:
        """Non-maximum suppression per image, best first."""
        boxes, scores, landmarks = candidates
        keep = nms(boxes, scores > 0, iou_threshold=self.nms_iou)
        return [
            Detections(boxes[i, kept], scores[i, kept], landmarks[i, kept])
            for i, kept in enumerate(keep)
        ]

    def __call__(
        self, outputs: Outputs, spec: PriorSpec, height: int, width: int
    ) -> list[Detections]:
        """Detections of each image in pixels of the network input."""
        return self.suppress(self.candidates(outputs, spec, height, width))


def best(scores: Tensor, threshold: float, top_k: int) -> tuple[Tensor, Tensor]:
    """Scores above the threshold, best first (ties: the first prior), and whose they are.

    scores [B, P] -> ([B, K], [B, K] int64), K of the fullest image; padding is score 0, prior 0.
    """
    # Typically 1% of the priors pass: only they are sorted.
    image, prior = (scores > threshold).nonzero(as_tuple=True)
    passed, order = scores[image, prior].sort(descending=True, stable=True)
    image, by_image = image[order].sort(stable=True)
    counts = image.bincount(minlength=len(scores))
    rank = torch.arange(len(image), device=scores.device) - (counts.cumsum(0) - counts)[image]
    width = min(int(counts.max()), top_k) if len(scores) else 0
    kept = rank < width
    place = image[kept], rank[kept]
    chosen = scores.new_zeros(len(scores), width)
    chosen[place] = passed[by_image][kept]
    index = torch.zeros_like(chosen, dtype=torch.int64)
    index[place] = prior[order][by_image][kept]
    return chosen, index


def merge(parts: list[Candidates]) -> Candidates:
    """Candidates of several views of the same images as one set, best first."""
    boxes, scores, landmarks = (torch.cat(values, dim=1) for values in zip(*parts, strict=True))
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    points = take(landmarks.flatten(2), order).unflatten(-1, (NUM_LANDMARKS, 2))
    return Candidates(take(boxes, order), scores, points)


def take(rows: Tensor, index: Tensor) -> Tensor:
    """rows [B, P, k], index [B, K] -> [B, K, k]."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[-1]))
