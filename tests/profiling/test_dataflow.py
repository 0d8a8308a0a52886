"""Boxes are what ran: all parameters once, real shapes, nothing that was not called."""

from __future__ import annotations

import re

import pytest
import torch

from src.models import featherface_v1, featherface_v2, nano_b, plain
from src.profiling.dataflow import blocks_of, diagrams, network_flow

NETWORKS = {
    "featherface_v1": featherface_v1,
    "v1_592371": lambda: featherface_v1("v1_592371"),
    "v1_487103": lambda: featherface_v1("v1_487103"),
    "featherface_v2": featherface_v2,
    "nano_b": nano_b,
    "enhanced": lambda: nano_b(
        channels=32, scale_decoupling=True, deep_evidence=True, semantic=True, assn=True
    ),
    "shared_heads": lambda: nano_b(shared_heads=True),
    "plain": plain,
}


def parameters(boxes) -> int:
    lines = [line for box in boxes for line in box.lines]
    counts = [re.fullmatch(r"([\d,]+) parameters", line) for line in lines]
    return sum(int(each[1].replace(",", "")) for each in counts if each)


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_hold_all_parameters_and_lead_to_the_outputs(name):
    model = NETWORKS[name]()
    boxes = network_flow(model, 64, 97)
    assert parameters(boxes) == sum(p.numel() for p in model.parameters())
    assert (boxes[0].name, boxes[-1].name) == ("image", "heads")
    reached = {"image"}
    for box in boxes[1:]:
        assert set(box.inputs) <= reached
        assert box.inputs, box.name  # nothing comes from nowhere
        reached.add(box.name)
    rows = 8 * 13 + 4 * 7 + 2 * 4
    assert f"{rows * model.priors.num_per_cell:,}×4" in boxes[-1].lines


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_hold_all_their_parameters(name):
    model = NETWORKS[name]()
    first = {}
    for module in model.modules():
        first.setdefault(type(module).__name__, module)
    found = blocks_of(model, 64, 97)
    assert {"ConvNorm", "LevelHead"} <= set(found)
    # A gate of one number of channels runs where all are shared; the others wait their turn.
    # The queries of an injection run in the enhancement around it.
    partly = {"SharedCBAM", "SharedAttentionNeck", "SemanticInjection"}
    for kind, boxes in found.items():
        if kind not in partly:
            assert parameters(boxes) == sum(p.numel() for p in first[kind].parameters()), kind


def test_a_gate_by_hand():
    boxes = {box.name: box for box in blocks_of(nano_b(), 64, 96)["CBAM"]}
    assert [box.lines[0] for box in boxes.values()] == ["x", "ChannelGate", "SpatialGate", "+",
                                                        "ReLU"]  # fmt: skip
    assert boxes["channel"].inputs == ("x",)
    assert boxes["spatial"].inputs == ("channel",)
    assert set(boxes["add"].inputs) == {"spatial", "x"}
    assert boxes["spatial"].lines == ("SpatialGate", "spatial", "64×8×12", "100 parameters")


def test_levels_that_pass_unchanged_say_so():
    boxes = blocks_of(NETWORKS["enhanced"](), 64, 96)["ScaleDecoupling"]
    levels = {box.name: box.lines[-1] for box in boxes if box.name.startswith("level")}
    assert levels == {
        "level of stride 8": "64×8×12",
        "level of stride 16": "goes on as it is",
        "level of stride 32": "goes on as it is",
    }


def test_the_network_is_left_as_it_is():
    model = nano_b()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = diagrams(model, "nano_b", 64, 96)
    assert drawn["network"].startswith("<svg")
    assert "385,662 parameters" in drawn["network"]
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
