from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from src.models import FaceDetector, featherface_v1, featherface_v2, nano_b, wiring_of
from src.models.contexts import DeformableNorm
from src.models.folding import folded, without_norms, without_parity, without_shuffles
from src.models.layers import ChannelShuffle
from src.models.necks import SamePool
from src.pruning import remove


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


def pruned() -> FaceDetector:
    """A network whose shuffles keep an arbitrary half of the channels."""
    model = nano_b(channels=16, shuffle_groups=4)
    wiring = wiring_of(model)
    kept = np.ones(wiring.num_channels, dtype=bool)
    for variable in wiring.variables:
        if variable.name.startswith("ssh_"):
            for block in np.split(variable.channels, wiring.blocks(variable)):
                kept[block[1::3]] = False
    return remove(model, wiring, kept)


@pytest.mark.parametrize(
    "network",
    [
        lambda: featherface_v1(channels=8, bifpn_repeats=1, mixer=True, context="conv3x3"),
        lambda: featherface_v1(channels=8, bifpn_repeats=1, context="ssh"),
        lambda: nano_b(channels=16, shuffle_groups=4, shared_heads=True),
        lambda: nano_b(channels=16, shuffle_groups=4, head_stem=False),
        pruned,
        featherface_v2,
    ],
    ids=["mixer", "no stem", "shared", "no stems", "pruned", "v2"],
)
def test_networks_without_shuffles_and_parity_compute_the_same(network):
    model = network().eval()
    before = copy.deepcopy(model.state_dict())
    orders = [m for m in model.modules() if isinstance(m, ChannelShuffle)]
    assert any((m.index != torch.arange(len(m.index))).any() for m in orders)
    other = without_norms(without_parity(without_shuffles(model)))
    norms = [m for m in other.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == len([m for m in other.modules() if isinstance(m, DeformableNorm)])
    assert not [m for m in other.modules() if isinstance(m, (ChannelShuffle, SamePool))]
    images = 50 * torch.randn(2, 3, 45, 96)
    with torch.no_grad():
        for ours, theirs in zip(other(images), model(images), strict=True):
            torch.testing.assert_close(
                ours, theirs, rtol=1e-5, atol=1e-5 * theirs.abs().max().item()
            )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
