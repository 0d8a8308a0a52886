"""The closed forms of size and work are those of the built networks."""

from __future__ import annotations

import numpy as np
import pytest
from random_networks import all_but_slow, arguments, network, random_plan

from src.models import build_model, wiring_of
from src.profiling.complexity import complexity
from src.pruning import Cost


def built(name, wiring, kept):
    """The network of these widths, with fresh weights."""
    widths = {
        each: count
        for variable, count in zip(wiring.variables, kept, strict=True)
        for each in variable.names
    }
    return build_model({**arguments(name), "widths": widths})


def test_equal_to_built_networks():
    """At a size of its own, in one call; test_masked_is_removed.py has many plans of all."""
    model = network("enhanced_shared_grouped")
    wiring = wiring_of(model)
    cost = Cost(model, wiring, height=160, width=224)
    dense = [len(variable.channels) for variable in wiring.variables]
    plans = np.array([dense, random_plan(wiring, np.random.default_rng(0))])
    networks = [built("enhanced_shared_grouped", wiring, plan.tolist()) for plan in plans]
    counted = [complexity(each, 160, 224) for each in networks]
    assert cost.parameters(plans).tolist() == [each.parameters for each in counted]
    assert cost.multiply_adds(plans).tolist() == [each.multiply_adds for each in counted]


@pytest.mark.parametrize("name", all_but_slow("v1_592371", "nano_b"))
def test_parameters(name):
    model = network(name)
    wiring = wiring_of(model)
    cost = Cost(model, wiring, height=32, width=32)
    plan = random_plan(wiring, np.random.default_rng(7))
    counted = sum(p.numel() for p in built(name, wiring, plan).parameters())
    assert cost.parameters(plan) == counted < sum(p.numel() for p in model.parameters())


def test_many_plans_at_once(small):
    wiring = wiring_of(small)
    cost = Cost(small, wiring)
    plans = np.stack([random_plan(wiring, np.random.default_rng(i)) for i in range(6)])
    for method in (cost.parameters, cost.multiply_adds):
        each = [method(plan) for plan in plans]
        assert method(plans).tolist() == each
        assert method(plans.reshape(2, 3, -1)).shape == (2, 3)


def test_work_grows_with_the_image_and_size_does_not(small):
    wiring = wiring_of(small)
    dense = [len(variable.channels) for variable in wiring.variables]
    one, four = (Cost(small, wiring, height=s, width=s) for s in (320, 640))
    assert four.multiply_adds(dense) == 4 * one.multiply_adds(dense)
    assert four.parameters(dense) == one.parameters(dense)


def test_the_network_is_left_as_it_is(small):
    small.train()
    before = {key: value.clone() for key, value in small.state_dict().items()}
    Cost(small, wiring_of(small))
    assert small.training
    assert all(value.equal(before[key]) for key, value in small.state_dict().items())
    assert not any(module._forward_hooks for module in small.modules())
