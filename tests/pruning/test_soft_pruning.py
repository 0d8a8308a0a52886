"""Filters that fade, come back, and are gone for good: schedules, masks, recovery, freezing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_networks import network, pixels
from torch import nn

from src.models import wiring_of
from src.pruning import SoftPruner, importance, keep, remove
from src.pruning.masks import Masks
from src.pruning.surgery import absent

# Schedules


@pytest.mark.parametrize(
    ("progress", "share"),
    [
        (0.0, 0.0),
        (0.15, 1 - 0.75**3),  # a quarter of the ramp of 0.6
        (0.3, 0.875),
        (0.45, 1 - 0.25**3),
        (0.6, 1.0),
        (0.9, 1.0),
        (1.0, 1.0),
    ],
)
def test_rates_rise(make_soft_spec, progress, share):
    assert make_soft_spec().rise(progress) == pytest.approx(share)


@pytest.mark.parametrize(
    ("progress", "temperature"),
    [(0.0, 0.5), (0.5, 0.02 + 0.48 / 8), (0.9, 0.02 + 0.48e-3), (1.0, 0.02), (1.1, 0.02)],
)
def test_temperature_falls(make_soft_spec, progress, temperature):
    assert make_soft_spec().temperature(progress) == pytest.approx(temperature)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ramp": 0.0}, r"expected 0 < pruning\.ramp <= pruning\.freeze <= 1.*got 0\.0 and 0\.9"),
        ({"reconstruction": "least_squares"}, r"along a training, got fpgm and least_squares"),
        ({"importance": "reconstruction"}, r"along a training, got reconstruction and None; prun"),
        ({"ramp": 0.95}, r"pruning\.ramp <= pruning\.freeze.*got 0\.95 and 0\.9"),
        ({"freeze": 1.1}, r"pruning\.freeze <= 1.*got 0\.6 and 1\.1"),
        ({"first_temperature": 0.01}, r"last_temperature <= pruning\.first_temp.*0\.02 and 0\.01"),
        ({"last_temperature": 0.0}, r"expected 0 < pruning\.last_temperature.*got 0\.0 and 0\.5"),
        ({"floor": -0.1}, r"expected pruning\.floor from 0 to 1, got -0\.1"),
        ({"floor": 1.5}, r"expected pruning\.floor from 0 to 1, got 1\.5"),
        ({"multiple": 0}, r"expected pruning\.multiple of at least 1"),
    ],
)
def test_wrong_settings_of_soft_pruning(make_soft_spec, settings, message):
    with pytest.raises(ValueError, match=message):
        make_soft_spec(settings=settings)


# Masks


def test_masks_of_a_stem_by_hand(small, make_soft_spec):
    """8 filters, 3 of which go; scores 0 to 7 have a mean of 3.5 and a deviation of sqrt(5.25)."""
    pruner = SoftPruner(small, make_soft_spec(backbone_early=0.4, settings={"ramp": 0.5}))
    stem = pruner.wiring["backbone_0"]
    pruner.scores = np.random.default_rng(0).random(pruner.wiring.num_channels)
    pruner.scores[stem] = [4, 0, 7, 1, 6, 2, 5, 3]
    pruner.advance(0.5)
    temperature = 0.02 + 0.48 / 8
    z = (np.array([4, 0, 7, 1, 6, 2, 5, 3]) - 3.5) / np.sqrt(5.25)
    threshold = (2.5 - 3.5) / np.sqrt(5.25)  # between the 3rd and the 4th smallest
    expected = 1 / (1 + np.exp(-(z - threshold) / temperature))
    np.testing.assert_allclose(pruner.masks.values[stem], expected, rtol=1e-4)
    assert pruner.kept[stem].tolist() == [True, False, True, False, True, False, True, True]
    # Those next to the threshold are as far from it, so their factors add up to 1.
    assert float(pruner.masks.values[stem][[5, 7]].sum()) == pytest.approx(1)


def test_of_a_group_of_which_none_goes_nothing_fades(small, make_soft_spec):
    pruner = SoftPruner(small, make_soft_spec(ssh=0.5))
    pruner.rank()
    pruner.advance(0.6)
    context = np.concatenate([pruner.wiring[f"context_p{level}"] for level in "345"])
    others = np.setdiff1d(np.arange(pruner.wiring.num_channels), context)
    assert (pruner.masks.values[others] == 1).all()
    assert (pruner.masks.values[context] < 0.5).sum() == len(context) // 2


def test_at_the_start_nothing_fades(small, make_soft_spec):
    pruner = SoftPruner(small, make_soft_spec(ssh=0.5, bifpn=0.5, backbone_late=0.5))
    pruner.rank()
    pruner.advance(0.0)
    assert (pruner.masks.values == 1).all()
    assert pruner.kept.all()


def test_equal_scores_fade_equally(small, make_soft_spec):
    pruner = SoftPruner(small, make_soft_spec(ssh=0.5))
    pruner.advance(0.6)  # never ranked: all scores are 0
    assert pruner.masks.values.isfinite().all()
    context = pruner.wiring["context_p3"]
    assert (pruner.masks.values[context] == 0.5).all()
    assert pruner.kept[context].sum() == len(context) // 2


def test_halves_of_grouped_convolutions_have_thresholds_of_their_own(make_soft_spec):
    model = network("nano_b")
    pruner = SoftPruner(model, make_soft_spec(ssh=0.5))
    pruner.rank()
    pruner.advance(0.6)
    for half in np.split(pruner.wiring["ssh_p3_branch3"], 2):
        assert (pruner.masks.values[half] < 0.5).sum() == len(half) // 2


def test_the_choice_once_frozen_stands(small, make_soft_spec):
    pruner = SoftPruner(small, make_soft_spec(ssh=0.5, backbone_early=0.3))
    pruner.rank()
    pruner.advance(0.89)
    assert not pruner.frozen
    assert len(pruner.masks.values.unique()) > 2
    assert pruner.masks.floor == 0.1
    pruner.advance(0.9)
    assert pruner.frozen
    assert pruner.masks.floor == 0.0
    expected = keep(pruner.wiring, importance(pruner.wiring), pruner.plan.kept)
    assert np.array_equal(pruner.kept, expected)
    assert pruner.masks.values.tolist() == expected.astype(float).tolist()
    pruner.scores = pruner.scores[::-1].copy()
    pruner.advance(0.95)
    assert np.array_equal(pruner.kept, expected)


def test_the_end_is_what_the_plan_says(make_soft_spec):
    model = network("enhanced")
    spec = make_soft_spec(ssh=None, bifpn=None, backbone_late=None, settings={"parameters": 0.6})
    pruner = SoftPruner(model, spec)
    pruner.rank()
    pruner.advance(1.0)
    results = pruner.results()
    before, after = results["parameters"]
    assert before == 287_577
    assert after <= 0.6 * before
    removed = remove(model, pruner.wiring, pruner.kept)
    assert sum(p.numel() for p in removed.parameters()) == after
    assert pruner.log_values()["parameters"] == after
    assert {row["name"]: row["after"] for row in results["widths"]} == removed.config["widths"]


def test_masks_can_be_taken_off(small, make_soft_spec):
    images = pixels(0)
    with torch.no_grad():
        before = small(images)
        pruner = SoftPruner(small, make_soft_spec(ssh=0.5))
        pruner.attach(torch.device("cpu"))
        pruner.rank()
        pruner.advance(0.9)
        assert not torch.equal(small(images).logits, before.logits)
        pruner.attach(torch.device("cpu"))  # again: values and hooks as they were
        assert pruner.masks.values.min() == 0
        sites = len(pruner.wiring.sites)
        assert sum(len(m._forward_hooks) for m in small.modules()) == sites
        pruner.masks.detach()
        assert torch.equal(small(images).logits, before.logits)


def test_gradient_of_a_fading_channel():
    wiring = wiring_of(network("enhanced"))
    masks = Masks(wiring, floor=0.1)
    site = wiring.sites[0]
    masks.attach()
    masks.values[site.channels] = torch.linspace(0, 1, len(site.channels))
    x = torch.randn(1, len(site.channels), 4, 4, requires_grad=True)
    y = site.module(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    masks.detach()
    (whole,) = torch.autograd.grad(site.module(x).sum(), x)
    factors = torch.linspace(0, 1, len(site.channels)).clamp(min=0.1).view(1, -1, 1, 1)
    torch.testing.assert_close(gradient, whole * factors)


def test_state_goes_through_a_file(small, make_soft_spec, tmp_path):
    spec = make_soft_spec(ssh=0.5, backbone_early=0.3)
    for progress in (0.5, 0.95):
        pruner = SoftPruner(small, spec)
        pruner.rank()
        pruner.advance(progress)
        torch.save(pruner.state(), tmp_path / "state.pt")
        again = SoftPruner(small, spec)
        again.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
        assert again.masks.values.equal(pruner.masks.values)
        assert np.array_equal(again.kept, pruner.kept)
        assert np.array_equal(again.scores, pruner.scores)
        assert (again.frozen, again.masks.floor) == (pruner.frozen, pruner.masks.floor)


# A filter comes back


def slow(value):
    """A case of many, of which others are in the fast tests."""
    return pytest.param(value, marks=pytest.mark.slow)


def train_the_faded(small, make_soft_spec, *, floor, zero=False):
    """Factors of one filter, epoch by epoch.

    The task is the first level as the network gives it, of which one filter's norm then loses its
    factor, and the filter its rank. Only that layer learns.
    """
    images, place = pixels(0, size=(32, 48)), 7
    layer = small.train().backbone.stage1[-1].pointwise
    layer.norm.weight.data.fill_(1.0)
    with torch.no_grad():
        layer.norm.weight[place] = 3.0
        target = small.backbone.stage1(images)
        layer.norm.weight[place] = 0.05
    settings = {"importance": "bn_gamma", "floor": floor, "ramp": 0.1, "freeze": 1.0}
    pruner = SoftPruner(small, make_soft_spec(backbone_early=0.25, settings=settings))
    pruner.attach(torch.device("cpu"))
    channel = pruner.wiring["backbone_5"][place]
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0, momentum=0.9)
    factors = []
    for epoch in range(10):
        pruner.rank()
        pruner.advance(0.5 + epoch / 100)
        factors.append(float(pruner.masks.values[channel]))
        if zero:  # as hard soft pruning does: weight and norm of what is not kept
            with torch.no_grad():
                gone = torch.from_numpy(~pruner.kept[pruner.wiring["backbone_5"]])
                for tensor in (layer.conv.weight, layer.norm.weight, layer.norm.bias):
                    tensor[gone] = 0
        for _ in range(20):
            optimizer.zero_grad()
            (small.backbone.stage1(images) - target).square().mean().backward()
            optimizer.step()
    return factors


def test_a_filter_that_matters_again_comes_back(small, make_soft_spec):
    factors = train_the_faded(small, make_soft_spec, floor=0.1)
    assert factors[0] < 0.01
    assert factors[-1] > 0.5


@pytest.mark.parametrize("setting", [{"floor": 0.0}, slow({"floor": 0.1, "zero": True})])
def test_it_does_not_without_gradient_or_weights(small, make_soft_spec, setting):
    factors = train_the_faded(small, make_soft_spec, **setting)
    assert max(factors) < 0.01


# For good


OPTIMIZERS = {
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-2, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, lr=1e-3, momentum=0.9),
}


def frozen_then_trained(make_soft_spec, name, *, clear):
    """The pruner of a network that learned, was frozen and learned on."""
    model = network("enhanced_shared_grouped").train()
    spec = make_soft_spec(
        backbone_early=0.3, backbone_late=0.3, cbam=0.4, bifpn=0.4, ssh=0.4, heads=0.0
    )
    pruner = SoftPruner(model, spec)
    pruner.attach(torch.device("cpu"))
    optimizer = OPTIMIZERS[name](model.parameters())

    def step(number):
        optimizer.zero_grad()
        sum(o.square().mean() for o in model(pixels(number))).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    pruner.rank()
    for number, progress in enumerate((0.3, 0.6)):
        pruner.advance(progress)
        step(number)
    pruner.rank()
    pruner.advance(0.9)
    if clear:
        pruner.clear([optimizer])
    before = {id(p): p.detach().clone() for p in model.parameters()}
    for number in range(3):
        step(number)
    return pruner, before


def places(pruner):
    """Every parameter of the wiring with the places of it that are gone."""
    for coupling in pruner.wiring.couplings:
        tensor = getattr(coupling.module, coupling.attribute)
        if isinstance(tensor, nn.Parameter):
            yield tensor, absent(coupling, pruner.kept, tensor)


@pytest.mark.parametrize("name", ["adamw", "sgd", slow("nesterov"), slow("rmsprop")])
def test_optimizers_do_not_move_what_is_gone(make_soft_spec, name):
    pruner, before = frozen_then_trained(make_soft_spec, name, clear=True)
    count = moved = 0
    for tensor, gone in places(pruner):
        assert not tensor[gone].any()
        count += int(gone.sum())
        moved += int((tensor[~gone] != before[id(tensor)][~gone]).sum())
    assert count > 50_000
    assert moved > 50_000


@pytest.mark.parametrize("name", [slow("adamw"), "sgd"])
def test_without_clearing_they_would(make_soft_spec, name):
    pruner, before = frozen_then_trained(make_soft_spec, name, clear=False)
    assert any((tensor[gone] != before[id(tensor)][gone]).any() for tensor, gone in places(pruner))


def test_cleared_places_are_those_that_removal_takes_away(make_soft_spec):
    """What is left over by removal is what was not cleared, tensor by tensor."""
    pruner, _ = frozen_then_trained(make_soft_spec, "sgd", clear=True)
    removed = remove(pruner.model, pruner.wiring, pruner.kept)
    sizes = {name: p.numel() for name, p in removed.named_parameters()}
    gone = {id(tensor): int(absent_.sum()) for tensor, absent_ in places(pruner)}
    for name, parameter in pruner.model.named_parameters():
        assert parameter.numel() - gone.get(id(parameter), 0) == sizes[name], name


@pytest.mark.slow
def test_compiled_networks_go_on_through_the_freeze(small, make_soft_spec):
    pruner = SoftPruner(small.train(), make_soft_spec(ssh=0.5))
    small.compile(backend="aot_eager")
    pruner.attach(torch.device("cpu"))
    pruner.rank()
    images = pixels(0)
    graphs = set()
    for progress in (0.2, 0.5, 0.95, 1.0):
        pruner.advance(progress)
        sum(output.square().mean() for output in small(images)).backward()
        graphs.add(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert pruner.frozen
    assert len(graphs) == 1


def test_masks_alone_change_no_rank(small, make_soft_spec):
    """Statistics that have seen the masks would: a faded channel's variance is small."""
    pruner = SoftPruner(small.train(), make_soft_spec(backbone_late=0.5, bifpn=0.5))
    pruner.attach(torch.device("cpu"))
    pruner.rank()
    before = pruner.scores.copy()
    pruner.advance(0.8)
    with torch.no_grad():
        for number in range(20):
            small(pixels(number))
    pruner.rank()
    assert np.array_equal(pruner.scores, before)
    gone = ~pruner.kept
    seen = importance(pruner.wiring)  # with the statistics of now
    counts = [int(pruner.kept[variable.channels].sum()) for variable in pruner.wiring.variables]
    assert (gone & ~keep(pruner.wiring, seen, counts)).sum() < 0.8 * gone.sum()


def test_the_choice_is_that_of_the_last_ranking(small, make_soft_spec):
    """Nothing is exchanged at the freeze, after which little is learned."""
    pruner = SoftPruner(small, make_soft_spec(ssh=0.5, bifpn=0.3))
    pruner.rank()
    pruner.advance(0.89)
    before = pruner.kept.copy()
    pruner.advance(0.9)
    assert pruner.frozen
    assert np.array_equal(pruner.kept, before)
