"""Every tensor that depends on a width is in the wiring, along the right axes."""

from __future__ import annotations

import numpy as np
import pytest
from random_networks import NETWORKS, all_but_slow, arguments, random_plan

from src.models import MODELS, build_model, featherface_v2, wiring_of
from src.models.channels import GROUPS


def built(name, widths=None):
    return build_model({**arguments(name), "widths": widths})


def shapes(model):
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def keys(model):
    return {id(module): name for name, module in model.named_modules()}


def coupled(model, wiring):
    """Name of every coupled tensor -> its coupling."""
    names = keys(model)
    return {f"{names[id(c.module)]}.{c.attribute}": c for c in wiring.couplings}


@pytest.mark.parametrize("name", NETWORKS)
def test_axes_are_as_long_as_their_channels(name):
    model = build_model(arguments(name))
    wiring = wiring_of(model)
    tensors = model.state_dict()
    found = coupled(model, wiring)
    assert len(found) == len(wiring.couplings)  # none twice
    for key, coupling in found.items():
        for dim, axis in enumerate(coupling.axes):
            if axis is not None:
                share = coupling.groups if dim == 1 else 1
                assert tensors[key].shape[dim] * share == len(axis), key


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_of_narrower_networks(name):
    """What the wiring says of them; a tensor it forgot would be as long as before."""
    model = build_model(arguments(name))
    wiring = wiring_of(model)
    found, dense = coupled(model, wiring), shapes(model)
    generator = np.random.default_rng(0)
    plan = random_plan(wiring, generator)
    kept = np.zeros(wiring.num_channels, bool)
    for variable, count in zip(wiring.variables, plan, strict=True):
        kept[variable.channels[:count]] = True
    expected = dict(dense)
    for key, coupling in found.items():
        shape = list(dense[key])
        for dim, axis in enumerate(coupling.axes):
            if axis is not None:
                shape[dim] = int(kept[axis].sum()) // (coupling.groups if dim == 1 else 1)
        expected[key] = tuple(shape)
    names = keys(model)
    for module, channels in wiring.shuffles:
        expected[f"{names[id(module)]}.index"] = (int(kept[channels].sum()),)
    widths = {
        each: count
        for variable, count in zip(wiring.variables, plan, strict=True)
        for each in variable.names
    }
    assert shapes(built(name, widths)) == expected


@pytest.mark.parametrize("name", all_but_slow("enhanced_shared_grouped"))
def test_each_width_changes_what_is_coupled_to_it(name):
    model = build_model(arguments(name))
    wiring = wiring_of(model)
    found, dense, names = coupled(model, wiring), shapes(model), keys(model)
    for variable in wiring.variables:
        expected = {
            key
            for key, coupling in found.items()
            if any(np.isin(variable.channels, a).any() for a in coupling.axes if a is not None)
        } | {
            f"{names[id(module)]}.index"
            for module, channels in wiring.shuffles
            if np.isin(variable.channels, channels).any()
        }
        less = len(variable.channels) - wiring.blocks(variable)
        if less == 0:
            continue
        narrower = shapes(built(name, dict.fromkeys(variable.names, less)))
        assert {key for key in dense if narrower[key] != dense[key]} == expected, variable.name


@pytest.mark.parametrize("name", NETWORKS)
def test_every_channel_is_judged_and_masked(name):
    model = build_model(arguments(name))
    wiring = wiring_of(model)
    everything = np.concatenate([variable.channels for variable in wiring.variables])
    assert np.array_equal(np.sort(everything), np.arange(wiring.num_channels))
    for what in (wiring.filters, wiring.sites):
        assert set(np.concatenate([each.channels for each in what])) == set(everything)
    assert {variable.group for variable in wiring.variables} <= set(GROUPS)
    sizes = {name: len(v.channels) for v in wiring.variables for name in v.names}
    assert len(sizes) == sum(len(v.names) for v in wiring.variables)


def test_groups_of_the_students():
    for name in ("nano_b", "enhanced", "w48"):
        wiring = wiring_of(build_model(arguments(name)))
        assert {variable.group for variable in wiring.variables} == set(GROUPS)


def test_blocks_of_grouped_convolutions():
    wiring = wiring_of(build_model(arguments("nano_b")))
    blocks = {variable.name: wiring.blocks(variable) for variable in wiring.variables}
    grouped = {name for name, number in blocks.items() if number == 2}
    assert grouped == {name for name in blocks if name.startswith(("ssh_", "bifpn"))}
    assert set(blocks.values()) == {1, 2}
    wiring = wiring_of(build_model(arguments("enhanced")))
    assert {wiring.blocks(variable) for variable in wiring.variables} == {1}


def test_a_shared_head_ties_what_it_reads():
    wiring = wiring_of(build_model(arguments("nano_b_shared_heads")))
    tied = [variable.names for variable in wiring.variables if len(variable.names) > 1]
    assert tied == [
        tuple(f"ssh_p{level}_{branch}" for level in "345")
        for branch in ("branch3", "branch5", "branch7_second")
    ]


def test_what_cannot_be_pruned_is_named():
    message = (
        r"expected a network that can be pruned \(featherface_v1, nano_b, plain\), "
        "got featherface_v2"
    )
    with pytest.raises(ValueError, match=message):
        wiring_of(featherface_v2())
    assert set(MODELS) == {"featherface_v1", "featherface_v2", "nano_b", "plain"}
