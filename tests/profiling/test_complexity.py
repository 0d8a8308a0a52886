"""Counts of parameters and multiply-adds against sums by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from src.models import featherface_v1
from src.models.deformable import DeformableConv
from src.profiling.complexity import complexity, complexity_of_parts


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
     ("v1_592371", 1.2438e9), ("v1_376344", 0.7003e9)],
)  # fmt: skip
def test_published_networks(preset, multiply_adds):
    model = featherface_v1(preset).train()
    found = complexity(model, 640, 640)
    assert found.parameters == int(preset.removeprefix("v1_"))
    assert found.multiply_adds == pytest.approx(multiply_adds, abs=5e4)
    assert model.training
    assert next(model.parameters()).device == torch.device("cpu")


class Twice(nn.Module):
    """One convolution in two places, and a bare parameter."""

    def __init__(self):
        super().__init__()
        conv = nn.Conv2d(3, 3, 1, bias=False)
        self.first = nn.Sequential(conv, nn.BatchNorm2d(3))
        self.second = nn.Sequential(conv, conv, nn.Conv2d(3, 5, 1))
        self.scale = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x):
        x = self.second(self.first(self.scale * x))
        return [x, (x[..., :2], x.mean(dim=(2, 3)))]


def test_parts_by_hand():
    parts = {"first": ["first"], "second": ["second"], "last": ["second.2"], "all": [""],
             "convolution": ["first.0"], "ends": ["first.1", "second.2"]}  # fmt: skip
    model = Twice().train()
    found = complexity_of_parts(model, parts, 4, 2)
    conv = 9 * 4 * 2
    # (layers, parameters, multiply-adds, shapes); shared: had once, run three times
    assert found["first"] == (1, 9 + 6, conv, ((3, 4, 2),))
    assert found["second"] == (1, 20, 2 * conv + 120, ((5, 4, 2),))
    assert found["last"] == (1, 20, 120, ((5, 4, 2),))
    assert found["convolution"] == (1, 9, 3 * conv, ((3, 4, 2),) * 3)
    assert found["ends"] == (1, 26, 120, ((3, 4, 2), (5, 4, 2)))
    assert found["all"] == (2, 9 + 6 + 20 + 3, 3 * conv + 120, ((5, 4, 2), (5, 4, 2), (5,)))
    assert found["all"][1:3] == complexity(model, 4, 2)
    assert model.training
    assert not model.first._forward_hooks


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU()), 1),
        (nn.Sequential(nn.Flatten(), nn.Linear(30, 1), nn.Linear(1, 4)), 2),
        (DeformableConv(3, 4), 3),  # its kernel, offsets and modulation
    ],
)
def test_layers(model, layers):
    (found,) = complexity_of_parts(model, {"it": [""]}, 5, 2).values()
    assert found.layers == layers


def test_a_part_that_is_not_there():
    with pytest.raises(AttributeError, match="third"):
        complexity_of_parts(Twice(), {"third": ["third"]}, 4, 2)
