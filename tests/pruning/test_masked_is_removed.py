"""A network with channels masked and the smaller network without them compute the same."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from random_networks import (
    NETWORKS,
    SIZE,
    all_but_slow,
    difference,
    masked,
    network,
    pixels,
    random_choice,
    random_plan,
    randomise,
    restate,
)
from torch import nn

from src import checkpoint
from src.models import wiring_of
from src.profiling.complexity import complexity
from src.pruning import Cost, importance, keep, remove
from src.pruning.masks import Masks


def seed_of(name: str, number: int) -> int:
    return 1000 * list(NETWORKS).index(name) + number


@torch.no_grad()
def compare(model, wiring, kept, images, cost) -> tuple[float, float, float]:
    """Differences in evaluation and in training, and the size of the outputs; leaves no mask.

    And the closed forms of its cost are what is counted of the network that removal built.
    """
    removed = remove(model.eval(), wiring, kept)
    counted = complexity(removed, *SIZE)
    counts = [int(kept[variable.channels].sum()) for variable in wiring.variables]
    assert cost.parameters(counts) == counted.parameters
    assert cost.multiply_adds(counts) == counted.multiply_adds
    masks = masked(wiring, kept)
    outputs = model(images)
    in_eval = difference(outputs, removed(images))
    in_training = difference(model.train()(images), removed.train()(images))
    masks.detach()
    model.eval()
    return in_eval, in_training, max(float(o.abs().max()) for o in outputs)


def check_plans(name: str, numbers: range) -> None:
    model = network(name)
    wiring = wiring_of(model)
    cost = Cost(model, wiring, height=SIZE[0], width=SIZE[1])
    for number in numbers:
        generator = np.random.default_rng(seed_of(name, number))
        plan = random_plan(wiring, generator)
        kept = random_choice(wiring, plan, generator)
        images = pixels(seed_of(name, number))
        randomise(model, seed_of(name, number))
        masks = masked(wiring, kept)
        restate(model, images, seed_of(name, number))
        masks.detach()
        in_eval, in_training, size = compare(model, wiring, kept, images, cost)
        assert in_eval <= 1e-5, (name, number, in_eval, size)
        assert in_training <= 1e-4, (name, number, in_training, size)
        assert 1 < size < 10, (name, number)  # what the tolerances are made for


@pytest.mark.parametrize(
    "name", all_but_slow("v1_487103", "v1_592371", "nano_b", "enhanced", "enhanced_shared_grouped")
)
def test_random_plans(name):
    check_plans(name, range(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_many_random_plans(name):
    """With the others 19 of each network, each with weights, statistics and channels of its own."""
    check_plans(name, range(1, 19))


@torch.no_grad()
@pytest.mark.parametrize("name", all_but_slow("v1_592371", "nano_b", "enhanced_shared_grouped"))
def test_to_the_last_digits(name):
    """In float64, and what training does to the statistics, too."""
    model = network(name)
    wiring = wiring_of(model)
    generator = np.random.default_rng(seed_of(name, 99))
    for rate in ("lowest", "random"):
        plan = random_plan(wiring, generator)
        if rate == "lowest":  # of every variable as little as there may be
            plan = [wiring.blocks(v) * -(-v.least // wiring.blocks(v)) for v in wiring.variables]
        kept = random_choice(wiring, plan, generator)
        images = pixels(1).double()
        masks = masked(wiring, kept)
        restate(model.float(), images.float(), 1)
        removed = remove(model, wiring, kept).double()
        model.double()
        assert difference(model.eval()(images), removed.eval()(images)) < 1e-9
        assert difference(model.train()(images), removed.train()(images)) < 1e-9
        masks.detach()
        left = remove(model, wiring, kept).state_dict()  # as float32
        for key, value in removed.state_dict().items():
            torch.testing.assert_close(left[key].to(value.dtype), value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", all_but_slow("v1_592371", "enhanced_shared_grouped"))
def test_gradients(name):
    """What masked channels leave behind learns as the smaller network does."""
    model = network(name)
    wiring = wiring_of(model)
    generator = np.random.default_rng(seed_of(name, 98))
    kept = random_choice(wiring, random_plan(wiring, generator), generator)
    removed = remove(model, wiring, kept).double().train()
    masked(wiring, kept)
    images = pixels(2).double()
    for each in (model.double().train(), removed):
        sum((o * o).mean() for o in each(images)).backward()
    for each in model.parameters():
        each.data = each.grad
    sliced = dict(remove(model, wiring, kept).named_parameters())
    for key, parameter in removed.named_parameters():
        torch.testing.assert_close(
            sliced[key].double(), parameter.grad, rtol=1e-4, atol=1e-6, msg=key
        )


# The comparison can fail


def test_another_choice_differs():
    model = network("enhanced_deep")
    wiring = wiring_of(model)
    generator = np.random.default_rng(0)
    plan = random_plan(wiring, generator)
    kept, other = (random_choice(wiring, plan, generator) for _ in range(2))
    removed = remove(model, wiring, other)
    masked(wiring, kept)
    with torch.no_grad():
        assert difference(model(pixels(0)), removed(pixels(0))) > 1e-3


class WithoutOneSite(Masks):
    """Forgets to mask at one place."""

    def __init__(self, wiring, forgotten: int) -> None:
        super().__init__(wiring)
        self._sites = [site for place, site in enumerate(self._sites) if place != forgotten]


@torch.no_grad()
def test_one_mask_left_out_differs():
    model = network("enhanced_deep")
    wiring = wiring_of(model)
    generator = np.random.default_rng(0)
    kept = random_choice(wiring, random_plan(wiring, generator), generator)
    removed = remove(model, wiring, kept)
    masks = WithoutOneSite(wiring, len(wiring.sites) - 1).attach()
    masks.values = torch.from_numpy(kept).float()
    assert difference(model(pixels(0)), removed(pixels(0))) > 1e-3


@pytest.mark.slow
@torch.no_grad()
def test_every_mask_is_needed():
    """But where a depthwise convolution follows and its mask does the same once more."""
    model = network("enhanced_deep")
    wiring = wiring_of(model)
    names = {id(module): name for name, module in model.named_modules()}
    images = pixels(0, size=(64, 64)).double()
    idle = set(range(len(wiring.sites)))
    largest = 0.0
    for seed in range(6):  # a hidden unit or a maximum may have no say in one network
        generator = np.random.default_rng(seed)
        kept = random_choice(wiring, random_plan(wiring, generator), generator)
        randomise(model.float(), seed)
        restate(model, images.float(), seed)
        expected = remove(model, wiring, kept).double()(images)
        model.double()
        for place in sorted(idle):
            masks = WithoutOneSite(wiring, place).attach()
            masks.values = torch.from_numpy(kept).float()
            found = difference(model(images), expected)
            masks.detach()
            largest = max(largest, found)
            if found > 1e-7:  # float64 differs by 1e-12
                idle.remove(place)
    blocks = {f"backbone.stage{i}.{j}" for i, n in ((1, 5), (2, 5), (3, 1)) for j in range(n)}
    assert {names[id(wiring.sites[place].module)] for place in idle} == {
        f"{block}.norm" if block == "backbone.stage1.0" else f"{block}.pointwise.norm"
        for block in blocks
    }
    assert largest > 1e-1


# What the network is turned into


@pytest.fixture
def pair():
    """A masked network, its masks at work, and the smaller one."""
    model = network("enhanced_shared_grouped")
    wiring = wiring_of(model)
    generator = np.random.default_rng(5)
    kept = random_choice(wiring, random_plan(wiring, generator), generator)
    masks = masked(wiring, kept)
    restate(model, pixels(0), 5)
    masks.detach()
    removed = remove(model, wiring, kept)
    masked(wiring, kept)
    return model, removed


@pytest.mark.slow
@torch.no_grad()
def test_compiled(pair):
    images = pixels(0)
    expected = pair[1](images)
    for each in copy.deepcopy(pair):
        compiled = torch.compile(each, backend="aot_eager")
        assert difference(compiled(images), expected) < 1e-5


@pytest.mark.slow
@torch.no_grad()
def test_exported(pair):
    model, removed = pair
    auto = torch.export.Dim.AUTO
    exported = torch.export.export(
        removed, (torch.randn(2, 3, 96, 128),), dynamic_shapes=({0: auto, 2: auto, 3: auto},)
    ).module()
    for batch, size in ((2, (64, 96)), (1, (96, 128)), (3, (33, 50))):
        images = pixels(0, batch=batch, size=size)
        expected = model(images)
        largest = max(float(o.abs().max()) for o in expected)
        assert difference(exported(images), expected) < 1e-5 * largest


@torch.no_grad()
def test_half_precision_and_memory_format(pair):
    images = pixels(0)
    last = [each.to(memory_format=torch.channels_last) for each in pair]
    a, b = (each(images) for each in last)
    # Processors add in another order: 3e-5 of values up to 9 was seen.
    assert difference(a, b) < 1e-5 * max(float(o.abs().max()) for o in b)
    with torch.autocast("cpu", torch.bfloat16):
        a, b = (each(images) for each in pair)
    assert difference(a, b) < 0.1 * max(float(o.abs().max()) for o in b)


# The published network


@pytest.mark.real_data
@torch.no_grad()
@pytest.mark.parametrize(
    "share", [*(pytest.param(share, marks=pytest.mark.slow) for share in (0.3, 0.6)), 1.0]
)
def test_published_weights(shared, make_spec, share):
    model = checkpoint.load(shared / "weights" / "mobilenet0.25_Final.pth").model
    wiring = wiring_of(model)
    spec = make_spec(backbone_early=0.4 * share, backbone_late=0.5 * share, bifpn=0.6 * share,
                     ssh=0.5 * share)  # fmt: skip
    kept = keep(wiring, importance(wiring), spec.plan(wiring, Cost(model, wiring)).kept)
    noise = torch.randint(0, 256, (2, 3, 96, 128), generator=torch.Generator().manual_seed(0))
    images = model.normalise(noise)
    cost = Cost(model, wiring, height=SIZE[0], width=SIZE[1])
    momenta = [m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    in_eval, in_training, size = compare(model, wiring, kept, images, cost)
    assert momenta == [m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert in_eval <= 1e-5
    assert in_training <= 1e-4
    assert 1 < size < 40
