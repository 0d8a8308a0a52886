"""Generated input of the size of the real one, for measuring speed where there is no data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from src.evaluation import ImageTruth
from src.models import FaceDetector
from src.types import Outputs

PASSING = 0.01
"""Share of priors above the score threshold: 0.2 to 1.6% with the published weights on WIDER FACE
images. Untrained networks would let all or none pass."""
WIDER_VAL = (3226, 39708)
"""Images and faces of the official validation set."""
PER_IMAGE = 100
"""Detections the evaluator is given per image."""


def plausible_outputs(model: FaceDetector, image: torch.Tensor) -> Outputs:
    """Outputs for ``image`` of which ``PASSING`` pass the threshold, in boxes near the priors."""
    with torch.no_grad():
        shapes = [value.shape for value in model(model.normalise(image))]
    deltas, logits, landmarks = (torch.randn(shape, device=image.device) for shape in shapes)
    logits[..., 0] += 100.0 * (torch.rand(logits.shape[:2], device=image.device) > PASSING)
    return Outputs(deltas, logits, landmarks)


def random_truth() -> dict[str, ImageTruth]:
    """As many images and faces as ``WIDER_VAL``, crowded and empty images among them."""
    rng = np.random.default_rng(0)
    num_images, num_faces = WIDER_VAL
    truth = {}
    for i, count in enumerate(rng.multinomial(num_faces, rng.dirichlet(np.full(num_images, 0.3)))):
        boxes = np.round(rng.uniform((0, 0, 6, 8), (900, 700, 90, 110), (count, 4)))
        hard = rng.random(count) < 0.8
        truth[f"event/{i}.jpg"] = ImageTruth(boxes, hard, hard, hard)
    return truth


def random_predictions(truth: Mapping[str, ImageTruth]) -> dict[str, np.ndarray]:
    """``PER_IMAGE`` detections [K, 5] of each image, best first; about half lie near a face."""
    rng = np.random.default_rng(1)
    predictions = {}
    for name, image in truth.items():
        rows = rng.uniform((0, 0, 8, 8, 0), (1000, 700, 90, 90, 1), (PER_IMAGE, 5))
        if len(image.boxes_xywh):
            chosen = image.boxes_xywh[rng.integers(0, len(image.boxes_xywh), PER_IMAGE)]
            near = rng.random(PER_IMAGE) < 0.5
            rows[near, :4] = (chosen + rng.normal(0, 0.08, chosen.shape) * chosen[:, 2:3])[near]
        predictions[name] = rows[np.argsort(-rows[:, 4])]
    return predictions
