"""Small networks and a batch for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from src.detection.assignment import MaxIoUAssigner
from src.detection.losses import (
    HardNegativeCrossEntropy,
    SmoothL1Boxes,
    SmoothL1Landmarks,
    WeightedTerms,
)
from src.detection.objective import DetectionObjective
from src.models import FaceDetector, featherface_v1
from src.types import Batch, Targets


@pytest.fixture
def make_detector() -> Callable[..., FaceDetector]:
    """``make_detector(seed, channels=8)``: a small network with batch statistics."""

    def make(seed: int, **options) -> FaceDetector:
        torch.manual_seed(seed)
        model = featherface_v1(**{"channels": 8, "bifpn_repeats": 1, **options})
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        return model

    return make


@pytest.fixture
def supervised() -> DetectionObjective:
    return DetectionObjective(
        MaxIoUAssigner(),
        WeightedTerms(
            {
                "box": SmoothL1Boxes(),
                "class": HardNegativeCrossEntropy(),
                "landmark": SmoothL1Landmarks(),
            },
            {"box": 2.0, "class": 1.0, "landmark": 1.0},
        ),
    )


@pytest.fixture
def batch() -> Batch:
    """Two images of 64 px, the first with two faces, one of which is to be ignored."""
    torch.manual_seed(0)
    boxes = torch.tensor([[10.0, 12, 30, 36], [40, 40, 50, 52]])
    return Batch(
        images=torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8),
        targets=Targets(
            boxes=boxes,
            landmarks=boxes[:, None, :2] + torch.rand(2, 5, 2) * 12,
            has_landmarks=torch.tensor([True, False]),
            ignore=torch.tensor([False, True]),
            image_index=torch.tensor([0, 0]),
        ),
        names=("a/a.jpg", "a/b.jpg"),
        scales=torch.ones(2, 2),
    )
