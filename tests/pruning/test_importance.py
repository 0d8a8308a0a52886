"""Scores of filters: by hand, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_networks import network
from torch import nn

from src.models import featherface_v1, wiring_of
from src.models.channels import Width, Wiring
from src.pruning import IMPORTANCES, Masks, importance
from src.pruning.importance import geometric_median, l1, l2

ROWS = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0], [0.0, 0.0]], dtype=torch.float64)


def wired(convs, *, norms=None):
    """A wiring of layers that all make the channels of one width."""
    size = convs[0].out_channels
    wiring = Wiring({"x": Width(size, "ssh")}, {"x": size})
    for conv, norm in zip(convs, norms or [None] * len(convs), strict=True):
        wiring.make(conv, None, wiring["x"], norm=norm)
    return wiring


@pytest.fixture
def conv():
    """Four 1x1 filters of two inputs: ROWS."""
    conv = nn.Conv2d(2, 4, 1, bias=False)
    conv.weight.data = ROWS[:, :, None, None].float()
    return conv


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (geometric_median, [5 + 10, 5 + 5 + 5, 10 + 5 + 10, 5 + 10]),
        (l1, [0, 7, 14, 0]),
        (l2, [0, 5, 10, 0]),
    ],
)
def test_rows(score, expected):
    assert score(ROWS).tolist() == expected


@pytest.mark.parametrize("score", [geometric_median, l1, l2])
def test_order_of_the_rows_is_the_order_of_the_scores(score):
    rows = torch.randn(9, 5, dtype=torch.float64)
    order = torch.randperm(9)
    torch.testing.assert_close(score(rows)[order], score(rows[order]))


def test_identical_filters_are_at_no_distance():
    rows = torch.randn(1, 40).repeat(6, 1)
    assert geometric_median(rows).tolist() == [0.0] * 6


def test_one_layer(conv):
    # Scaled to a mean length of 1: (0 + 5 + 10 + 0) / 4 = 3.75.
    scores = importance(wired([conv]), criterion="l2")
    np.testing.assert_allclose(scores, np.array([0, 5, 10, 0]) / 3.75)
    scores = importance(wired([conv]))
    np.testing.assert_allclose(scores, np.array([15, 15, 25, 15]) / 3.75)


def test_layers_that_make_the_same_channels_count_equally(conv):
    other = nn.Conv2d(2, 4, 1, bias=False)
    other.weight.data = 1000 * conv.weight.data.flip(0)
    scores = importance(wired([conv, other]), criterion="l1")
    np.testing.assert_allclose(scores, np.array([0, 7 + 14, 14 + 7, 0]) / 3.75)


def with_norm(conv):
    norm = nn.BatchNorm2d(conv.out_channels, eps=0.0)
    norm.weight.data = torch.tensor([1.0, -2.0, 0.5, 3.0])
    norm.bias.data = torch.tensor([0.5, 1.0, 1.5, 2.0])
    norm.running_mean.copy_(torch.tensor([1.0, 1.0, -1.0, 0.0]))
    norm.running_var.copy_(torch.tensor([4.0, 1.0, 0.25, 9.0]))
    return norm


def test_the_norm_is_folded_in(conv):
    # Factors gamma / sigma: 0.5, -2, 1, 1; offsets beta - mean * factor: 0, 3, 2.5, 2.
    rows = np.array([[0, 0, 0.0], [-6, -8, 3], [6, 8, 2.5], [0, 0, 2]])
    lengths = np.linalg.norm(rows, axis=1)
    scores = importance(wired([conv], norms=[with_norm(conv)]), criterion="l2")
    np.testing.assert_allclose(scores, lengths / lengths.mean(), rtol=1e-6)
    raw = importance(wired([conv], norms=[with_norm(conv)]), criterion="l2", bn_fold=False)
    np.testing.assert_allclose(raw, np.array([0, 5, 10, 0]) / 3.75)


def test_a_bias_in_front_of_a_norm_is_part_of_its_offset(conv):
    plain, shifted = with_norm(conv), with_norm(conv)
    expected = importance(wired([conv], norms=[plain]))
    conv.bias = nn.Parameter(torch.tensor([1.0, 2, 3, 4]))
    shifted.running_mean += conv.bias.data
    np.testing.assert_allclose(importance(wired([conv], norms=[shifted])), expected, rtol=1e-6)


@pytest.mark.parametrize("criterion", ["fpgm", "l1", "l2"])
def test_scale_that_a_norm_takes_away_is_no_importance(criterion):
    conv, norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, eps=0.0)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    wiring = wired([conv], norms=[norm])
    before = importance(wiring, criterion=criterion)
    raw = importance(wiring, criterion=criterion, bn_fold=False)
    factors = torch.tensor([0.1, 0.5, 1, 2, 3, 10, 20, 50])
    conv.weight.data *= factors[:, None, None, None]
    norm.running_mean *= factors
    norm.running_var *= factors**2
    np.testing.assert_allclose(importance(wiring, criterion=criterion), before, rtol=1e-5)
    assert not np.allclose(importance(wiring, criterion=criterion, bn_fold=False), raw, rtol=0.1)


def test_bn_gamma(conv):
    scores = importance(wired([conv], norms=[with_norm(conv)]), criterion="bn_gamma")
    np.testing.assert_allclose(scores, np.array([1, 2, 0.5, 3]) / 1.625)
    np.testing.assert_allclose(  # without a norm: L2
        importance(wired([conv]), criterion="bn_gamma"), np.array([0, 5, 10, 0]) / 3.75
    )


def test_a_hidden_unit_is_judged_by_what_it_reads_and_writes():
    wiring = Wiring({"h": Width(2, "cbam")}, {"h": 2})
    reduce, expand = nn.Linear(2, 2), nn.Linear(2, 3)
    reduce.weight.data = torch.tensor([[1.0, 2], [0, 0]])
    reduce.bias.data = torch.tensor([2.0, 0])
    expand.weight.data = torch.tensor([[4.0, 1], [0, 0], [0, 0]])
    wiring.hidden(reduce, expand, None, wiring["h"])
    scores = importance(wiring, criterion="l2")
    np.testing.assert_allclose(scores, np.array([5, 1]) / 3)  # (1, 2, 2, 4, 0, 0), (0, 0, 0, 1,..)


def test_random_is_seeded(small):
    wiring = wiring_of(small)
    draws = [importance(wiring, criterion="random", seed=seed) for seed in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@pytest.mark.parametrize("criterion", IMPORTANCES)
def test_every_criterion_scores_every_channel(criterion):
    wiring = wiring_of(network("enhanced_shared_grouped"))
    scores = importance(wiring, criterion=criterion)
    assert scores.shape == (wiring.num_channels,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()


def test_halves_of_grouped_convolutions_are_scored_apart():
    model = network("nano_b")
    wiring = wiring_of(model)
    first, second = np.split(wiring["ssh_p3_branch3"], 2)
    before = importance(wiring)
    model.context.field[0].branch3.conv.weight.data[18:] *= torch.linspace(1, 5, 18)[
        :, None, None, None
    ]
    after = importance(wiring)
    assert np.array_equal(before[first], after[first])
    assert not np.allclose(before[second], after[second])


def test_masks_do_not_change_scores(small):
    wiring = wiring_of(small)
    before = importance(wiring)
    masks = Masks(wiring).attach()
    masks.values[:5] = 0
    assert np.array_equal(importance(wiring), before)


def test_of_all_filters_the_same_none_is_divided_by_zero():
    conv = nn.Conv2d(2, 4, 1, bias=False)
    nn.init.zeros_(conv.weight)
    assert importance(wired([conv])).tolist() == [0.0] * 4


def test_unknown_criterion(small):
    message = "expected an importance of fpgm, l1, l2, bn_gamma, random; got 'taylor'"
    with pytest.raises(ValueError, match=message):
        importance(wiring_of(small), criterion="taylor")


def test_of_two_filters_the_longer_stays():
    """Their distances are a tie, which would always be lost by the first."""
    network = featherface_v1("v1_493778", channels=8, bifpn_repeats=1)
    wiring = wiring_of(network)
    units = wiring["cbam_c4"]
    assert len(units) == 2
    gate = network.neck.attention_in[1].channel
    for dead in (0, 1):
        with torch.no_grad():
            for parameter in gate.parameters():
                parameter.fill_(0.1)
            gate.reduce.weight[dead] = gate.reduce.bias[dead] = gate.expand.weight[:, dead] = 0
        scores = importance(wiring, criterion="fpgm")[units]
        assert scores[dead] < scores[1 - dead]
