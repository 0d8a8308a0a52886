"""The plain student: exact sizes, what a block is, widths, any input, rebuilding."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from composing import CONF, composed
from hydra.utils import instantiate
from torch import nn

from src import checkpoint
from src.detection.priors import make_priors
from src.models import build_model, plain
from src.models.layers import SeparableConv
from src.models.plain import PlainOptions, width_table
from src.profiling.complexity import complexity

SMALL: dict[str, Any] = {"stem": 4, "stages": [4, 8, 12, 16], "blocks": [0, 1, 0, 2], "channels": 8}


def preset(name: str) -> dict[str, Any]:
    with TemporaryDirectory() as folder, composed("train", Path(folder), f"model={name}") as config:
        return instantiate(config.model, _convert_="all")


def lively(model: nn.Module) -> nn.Module:
    """With statistics that are not those of a new norm."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.2)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return model.eval()


# Sizes


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [("plain", 155_200, 382_809_600), ("plain_small", 115_144, 227_072_000)],
)
def test_sizes_are_what_the_file_says(name, parameters, macs):
    model = build_model(preset(name))
    assert complexity(model, 640, 640) == (parameters, macs)
    first = (Path(CONF) / "model" / f"{name}.yaml").read_text().splitlines()[0]
    assert f"{parameters:,} parameters" in first
    assert f"{macs / 1e6:.0f}M multiply-adds" in first
    assert len(make_priors(model.priors, 640, 640)) == 16_800


def test_the_file_holds_the_defaults():
    assert plain().config == build_model(preset("plain")).config


def test_parameters_by_part():
    model = plain()
    counts = {
        name: sum(p.numel() for p in model.get_submodule(name).parameters())
        for name in ("backbone", "neck.pyramid", "context.field", "heads")
    }
    block = 9 * 64 + 64 * 64 + 2 * 64
    assert counts == {
        "backbone": 101_344,
        "neck.pyramid": 64 * (64 + 96 + 128) + 6 * 64 + 3 * block,
        "context.field": 3 * block,
        "heads": 3 * 2 * 16 * 65,
    }


# What it computes


def test_a_block_has_one_norm_and_one_relu():
    block = lively(SeparableConv(3, 5, stride=2))
    x = torch.randn(2, 3, 9, 11)
    between = F.conv2d(x, block.depthwise.weight, stride=2, padding=1, groups=3)
    expected = block.pointwise.norm(F.conv2d(between, block.pointwise.conv.weight)).relu()
    with torch.no_grad():
        torch.testing.assert_close(block(x), expected)
    assert expected.shape == (2, 5, 5, 6)
    assert sum(p.numel() for p in block.parameters()) == 9 * 3 + 3 * 5 + 2 * 5


def test_nothing_but_convolutions_norms_and_relus():
    leaves = {type(m) for m in plain().modules() if not any(True for _ in m.children())}
    assert leaves == {nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Identity}


def test_the_pyramid_hands_down_what_its_convolutions_made():
    model = lively(plain(**SMALL))
    neck = model.neck.pyramid
    levels = [torch.randn(2, *shape) for shape in ((8, 8, 9), (12, 4, 5), (16, 2, 3))]
    with torch.no_grad():
        p3, p4, p5 = neck(levels)
        lateral3, lateral4, lateral5 = neck.project(levels)
        assert torch.equal(p5, neck.p5(lateral5))
        assert torch.equal(p4, neck.p4(lateral4 + F.interpolate(p5, size=(4, 5))))
        assert torch.equal(p3, neck.p3(lateral3 + F.interpolate(p4, size=(8, 9))))


@pytest.mark.parametrize("size", [(64, 64), (33, 50), (1, 1), (321, 100)])
def test_rows_match_priors_for_any_size(size):
    model = plain(**SMALL).eval()
    with torch.no_grad():
        rows = model(torch.randn(2, 3, *size))
    num_priors = len(make_priors(model.priors, *size))
    assert [tuple(o.shape) for o in rows] == [(2, num_priors, k) for k in (4, 2, 10)]


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    model = plain().train()
    sum(o.square().sum() for o in model(torch.randn(2, 3, 64, 64))).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


# Options and widths


def test_names_of_the_widths_follow_the_data():
    table = width_table(PlainOptions(**SMALL))
    assert {name: width.size for name, width in table.items()} == {
        "backbone_0": 4, "backbone_1": 4, "backbone_2": 8, "backbone_3": 8, "backbone_4": 12,
        "backbone_5": 16, "backbone_6": 16, "backbone_7": 16,
        "pyramid": 8, "context_p3": 8, "context_p4": 8, "context_p5": 8,
    }  # fmt: skip
    early = [name for name, width in table.items() if width.group == "backbone_early"]
    assert early == [f"backbone_{i}" for i in range(4)]  # up to C3


def test_a_checkpoint_brings_it_back(tmp_path):
    model = lively(plain(**SMALL, widths={"backbone_2": 5, "pyramid": 6, "context_p4": 3}))
    assert model.backbone.stage1[3].depthwise.weight.shape == (5, 1, 3, 3)
    assert model.pyramid_channels == (6, 6, 6)
    checkpoint.save(tmp_path / "a.ckpt", model)
    again = checkpoint.load(tmp_path / "a.ckpt").model.eval()
    assert again.config == model.config
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(model(x), again(x), strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 3}, r"options of plain of stem, stages, blocks, channels; got \['depth'\]"),
        ({"stages": [32, 64, 96]}, r"stages of plain as 4 whole .*; got \[32, 64, 96\]"),
        ({"stages": 32}, "stages of plain as 4 whole numbers of at least 1, .* got 32"),
        ({"stages": [32, 64, 96, 0]}, "stages of plain as 4 whole numbers of at least 1"),
        ({"blocks": [1, 2, 3, -1]}, "blocks of plain as 4 whole numbers of at least 0"),
        ({"blocks": [1, 2, 3, 2.0]}, "blocks of plain as 4 whole numbers of at least 0"),
        ({"stem": 0}, "stem of plain of at least 1, got 0"),
        ({"channels": 64.0}, "channels of plain to be a whole number, got 64.0"),
        ({"widths": {"bifpn": 4}}, "widths of backbone_0, .*context_p5; got 'bifpn'"),
        ({"widths": {"pyramid": 65}}, "from 1 to 64, got 65; widths only narrow"),
    ],
)
def test_wrong_options_say_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_model({"name": "plain", **arguments})
