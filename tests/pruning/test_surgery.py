"""What removal gives is a network like any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_networks import (
    all_but_slow,
    difference,
    masked,
    network,
    pixels,
    random_choice,
    random_plan,
)
from torch import nn

from src import checkpoint
from src.models import build_model, featherface_v1, wiring_of
from src.models.layers import ChannelShuffle
from src.profiling.complexity import complexity
from src.pruning import Cost, recalibrate, remove

EVERY_KIND = ["v1_489015", "enhanced_deep", "nano_b_shared_heads"]


def choice(wiring, seed=0):
    generator = np.random.default_rng(seed)
    return random_choice(wiring, random_plan(wiring, generator), generator)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", EVERY_KIND)
def test_a_checkpoint_of_it_is_the_same_network(name, tmp_path):
    model = network(name)
    wiring = wiring_of(model)
    kept = choice(wiring)
    removed = remove(model, wiring, kept)
    assert removed.config["widths"] == {
        each: int(kept[variable.channels].sum())
        for variable in wiring.variables
        for each in variable.names
    }
    assert removed.config | {"widths": None} == model.config | {"widths": None}
    checkpoint.save(tmp_path / "pruned.ckpt", removed)
    loaded = checkpoint.load(tmp_path / "pruned.ckpt").model
    assert loaded.config == removed.config
    assert same(loaded.state_dict(), removed.state_dict())
    with torch.no_grad():
        assert difference(loaded(pixels(0)), removed(pixels(0))) == 0


@torch.no_grad()
@pytest.mark.parametrize("name", all_but_slow("enhanced_deep"))
def test_it_is_pruned_again(name):
    model = network(name)
    for seed in range(2):
        wiring = wiring_of(model)
        kept = choice(wiring, seed)
        before = [len(variable.channels) for variable in wiring.variables]
        cost = Cost(model, wiring, height=64, width=64)
        smaller = remove(model, wiring, kept)
        after = [int(kept[variable.channels].sum()) for variable in wiring.variables]
        assert complexity(smaller, 64, 64) == (cost.parameters(after), cost.multiply_adds(after))
        masks = masked(wiring, kept)
        outputs = model(pixels(seed))
        masks.detach()
        size = max(float(o.abs().max()) for o in outputs)
        assert difference(outputs, smaller(pixels(seed))) < 1e-5 * max(1.0, size)
        assert sum(after) < sum(before)
        model = smaller
    again = wiring_of(model)
    assert [len(variable.channels) for variable in again.variables] == after


def test_in_two_steps_as_in_one():
    model = network("nano_b")
    wiring = wiring_of(model)
    kept = choice(wiring)
    some = kept.copy()
    for variable in wiring.variables:  # a pair of those that go stays, for now
        for block in np.split(variable.channels, wiring.blocks(variable)):
            some[block[~kept[block]][:1]] = True
    first = remove(model, wiring, some)
    second = remove(first, wiring_of(first), kept[some])
    assert same(second.state_dict(), remove(model, wiring, kept).state_dict())


def test_all_kept_is_the_network_itself():
    model = network("enhanced_deep")
    wiring = wiring_of(model)
    removed = remove(model, wiring, np.ones(wiring.num_channels, bool))
    assert same(removed.state_dict(), model.state_dict())


def test_the_network_is_left_as_it_is(small):
    before = {key: value.clone() for key, value in small.state_dict().items()}
    removed = remove(small, wiring_of(small), choice(wiring_of(small)))
    for parameter in removed.parameters():
        parameter.data.fill_(7)
    assert same(small.state_dict(), before)
    assert small.config["widths"] is None


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_momenta_are_kept(small, training):
    small.train(training)
    norms = [m for m in small.modules() if isinstance(m, nn.BatchNorm2d)]
    for number, norm in enumerate(norms):
        norm.momentum = 0.01 + number / 1000
    removed = remove(small, wiring_of(small), choice(wiring_of(small)))
    assert all(module.training == training for module in removed.modules())
    theirs = [m for m in removed.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [norm.momentum for norm in theirs] == [norm.momentum for norm in norms]
    assert [norm.eps for norm in theirs] == [norm.eps for norm in norms]


def test_dtype_is_kept(small):
    removed = remove(small.double(), wiring_of(small), choice(wiring_of(small)))
    assert {value.dtype for value in removed.parameters()} == {torch.float64}
    assert removed.mean.dtype == torch.float64


# Parts, by hand


def test_a_filter_takes_its_norm_and_its_readers_inputs(small):
    wiring = wiring_of(small)
    kept = np.ones(wiring.num_channels, bool)
    kept[wiring["backbone_0"][[1, 6]]] = False
    left = [0, 2, 3, 4, 5, 7]
    before, after = small.backbone.stage1, remove(small, wiring, kept).backbone.stage1
    assert after[0].conv.weight.equal(before[0].conv.weight[left])
    for attribute in ("weight", "bias", "running_mean", "running_var"):
        for ours, theirs in ((after[0], before[0]), (after[1].depthwise, before[1].depthwise)):
            assert getattr(ours.norm, attribute).equal(getattr(theirs.norm, attribute)[left])
    assert after[1].depthwise.conv.weight.equal(before[1].depthwise.conv.weight[left])
    assert after[1].pointwise.conv.weight.equal(before[1].pointwise.conv.weight[:, left])
    assert after[2].depthwise.conv.weight.equal(before[2].depthwise.conv.weight)


def test_groups_lose_inputs_of_their_own():
    model = network("nano_b")
    wiring = wiring_of(model)
    kept = np.ones(wiring.num_channels, bool)
    kept[wiring["bifpn"][[0, 40]]] = False  # the first of one half, the fifth of the other
    kept[wiring["ssh_p3_branch3"][[1, 18]]] = False
    before = model.context.field[0].branch3.conv.weight  # [36, 36, 3, 3]: 36 of 72 inputs each
    after = remove(model, wiring, kept).context.field[0].branch3.conv.weight
    first = before[:18][[i for i in range(18) if i != 1]][:, 1:]
    second = before[19:][:, [i for i in range(36) if i != 4]]
    assert after.equal(torch.cat([first, second]))


@pytest.mark.parametrize("order", ["interleave", "deinterleave"])
def test_a_shuffle_keeps_its_order_among_what_stays(order):
    model = featherface_v1("v1_487103", channels=8, bifpn_repeats=1, cbam_reduction=None,
                           shuffle=order)  # fmt: skip
    expected = [0, 4, 1, 5, 2, 6, 3, 7] if order == "interleave" else [0, 2, 4, 6, 1, 3, 5, 7]
    assert model.context.shuffle[0].index.tolist() == expected
    wiring = wiring_of(model)
    kept = np.ones(wiring.num_channels, bool)
    kept[wiring["context_p3"][[0, 3, 5]]] = False  # 1, 2, 4, 6, 7 stay and become 0 to 4
    removed = remove(model, wiring, kept)
    # 4, 1, 2, 6, 7 or 2, 4, 6, 1, 7.
    expected = [2, 0, 1, 3, 4] if order == "interleave" else [1, 2, 3, 0, 4]
    assert removed.context.shuffle[0].index.tolist() == expected
    assert removed.context.shuffle[1].index.equal(model.context.shuffle[1].index)
    assert isinstance(removed.context.shuffle[0], ChannelShuffle)


# Recalibration


def test_statistics_are_the_mean_over_the_batches(small):
    batches = [torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8) for _ in range(3)]
    stem = small.backbone.stage1[0]
    momenta = [m.momentum for m in small.modules() if isinstance(m, nn.BatchNorm2d)]
    weights = {key: value.clone() for key, value in small.named_parameters()}
    with torch.no_grad():
        seen = [stem.conv(small.normalise(batch)) for batch in batches]
    assert recalibrate(small, iter(batches)) == 3
    norms = [m for m in small.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {int(norm.num_batches_tracked) for norm in norms} == {3}
    means = torch.stack([x.mean(dim=(0, 2, 3)) for x in seen]).mean(dim=0)
    variances = torch.stack([x.var(dim=(0, 2, 3)) for x in seen]).mean(dim=0)
    torch.testing.assert_close(stem.norm.running_mean, means, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(stem.norm.running_var, variances, rtol=1e-4, atol=1e-4)
    assert [norm.momentum for norm in norms] == momenta
    assert not small.training
    assert same(dict(small.named_parameters()), weights)
    assert all(parameter.grad is None for parameter in small.parameters())


def test_without_batches_statistics_stay(small):
    before = {key: value.clone() for key, value in small.state_dict().items()}
    assert recalibrate(small.train(), []) == 0
    assert same(small.state_dict(), before)
    assert small.training


def test_the_network_is_given_back_when_batches_fail(small):
    def failing():
        yield torch.zeros(1, 3, 64, 64)
        raise OSError("gone")

    momenta = [m.momentum for m in small.modules() if isinstance(m, nn.BatchNorm2d)]
    with pytest.raises(OSError, match="gone"):
        recalibrate(small, failing())
    assert [m.momentum for m in small.modules() if isinstance(m, nn.BatchNorm2d)] == momenta
    assert not small.training


def test_a_rebuilt_network_needs_all_its_widths():
    model = network("v1_592371")
    wiring = wiring_of(model)
    removed = remove(model, wiring, choice(wiring))
    assert build_model(removed.config).config == removed.config
