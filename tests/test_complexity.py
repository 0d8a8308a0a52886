"""Counts of parameters and multiply-adds against sums by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from src.complexity import complexity
from src.models import featherface_v1
from src.models.deformable import DeformableConv


@pytest.mark.parametrize(
    ("model", "parameters", "multiply_adds"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), 3 * 8 * 9 + 8, 3 * 8 * 9 * 6 * 5),
        (nn.Conv2d(3, 3, 3, padding=1, groups=3), 3 * 9 + 3, 3 * 9 * 6 * 5),
        (nn.Conv2d(3, 8, 1, stride=2), 3 * 8 + 8, 3 * 8 * 3 * 3),
        (nn.Sequential(nn.Flatten(), nn.Linear(90, 7)), 91 * 7, 90 * 7),
        # The kernel itself counts, not only the two convolutions that steer it.
        (DeformableConv(3, 4), 27 * 27 + 27 + 27 * 4, (27 * 27 + 27 * 4) * 6 * 5),
    ],
)
def test_counts_by_hand(model, parameters, multiply_adds):
    assert complexity(model, 6, 5) == (parameters, multiply_adds)


@pytest.mark.parametrize(
    ("preset", "multiply_adds"),
    [("v1_489015", 1.0147e9), ("v1_493778", 1.0163e9), ("v1_487103", 0.9670e9),
     ("v1_592371", 1.2438e9)],
)  # fmt: skip
def test_published_networks(preset, multiply_adds):
    model = featherface_v1(preset).train()
    found = complexity(model, 640, 640)
    assert found.parameters == int(preset.removeprefix("v1_"))
    assert found.multiply_adds == pytest.approx(multiply_adds, abs=5e4)
    assert model.training
    assert next(model.parameters()).device == torch.device("cpu")
