from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from src.models import featherface_v1, nano_b
from src.models.folding import folded


@pytest.mark.parametrize(
    "network",
    [lambda: featherface_v1(channels=8, bifpn_repeats=1), lambda: nano_b(channels=16)],
    ids=["v1", "nano_b"],
)
def test_folded_networks_compute_the_same(network):
    model = network().eval()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for value in (norm.running_mean, norm.bias):
                nn.init.normal_(value, std=0.3)
            for value in (norm.running_var, norm.weight):
                nn.init.uniform_(value, 0.5, 2)
    before = copy.deepcopy(model.state_dict())
    smaller = folded(model)
    images = 50 * torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for ours, theirs in zip(smaller(images), model(images), strict=True):
            torch.testing.assert_close(
                ours, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item()
            )
    assert len(list(smaller.parameters())) < len(list(model.parameters()))
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
