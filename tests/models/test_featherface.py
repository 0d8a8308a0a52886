"""FeatherFace V1: exact sizes, shapes, gradients, parity with the published network."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from src import checkpoint
from src.detection.priors import feature_shapes, make_priors
from src.models import build_model, featherface_v1
from src.models.featherface import PRESETS

INTERLEAVED = {"v1_493778", "v1_487103"}


def num_parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("preset", PRESETS)
def test_parameter_count_is_the_preset_name(preset):
    assert num_parameters(featherface_v1(preset)) == int(preset.removeprefix("v1_"))


def test_parameters_by_part():
    model = featherface_v1("v1_592371")
    neck = model.neck
    assert num_parameters(model.backbone) == 213_072
    assert num_parameters(neck.bifpn) == 112_606
    assert num_parameters(neck.attention_in) + num_parameters(neck.attention_out) == 13_568
    assert [num_parameters(m) for m in model.context.field] == [77_655] * 3
    assert [num_parameters(m) for m in model.context.mixer] == [4_640] * 3
    assert num_parameters(model.heads) == 6_240


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(64, 64), (33, 50), (1, 1), (65, 129)])
def test_rows_match_priors_for_any_size(preset, size):
    model = featherface_v1(preset).eval()
    with torch.no_grad():
        outputs = model(torch.randn(2, 3, *size))
    num_priors = len(make_priors(model.priors, *size))
    assert [tuple(o.shape) for o in outputs] == [(2, num_priors, k) for k in (4, 2, 10)]


def test_feature_shapes_are_those_of_the_network():
    model = featherface_v1()
    levels = model.backbone(torch.zeros(1, 3, 203, 257))
    assert [tuple(x.shape[-2:]) for x in levels] == feature_shapes(model.priors, 203, 257)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_parameter_gets_a_gradient(preset):
    idle: set[str] | None = None
    for _ in range(6):  # the hidden unit of a narrow CBAM may start dead: several initialisations
        model = featherface_v1(preset).train()
        sum(o.square().sum() for o in model(torch.randn(2, 3, 64, 64))).backward()
        without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
        idle = without if idle is None else idle & without
        if not idle:
            return
    assert idle == set()


def test_more_priors_change_the_heads_only():
    model = featherface_v1(prior_sizes=[[11.3, 16, 32], [45, 64, 128], [181, 256, 512]])
    extra = num_parameters(model) - 489_015
    assert extra == 3 * 16 * (56 + 1)  # three levels, 4 + 2 + 10 outputs, weights and a bias
    assert len(make_priors(model.priors, 640, 640)) == 25_200


@pytest.mark.parametrize("preset", PRESETS)
def test_config_rebuilds_the_network(preset):
    model = featherface_v1(preset)
    again = build_model(model.config)
    assert again.config == model.config
    again.load_state_dict(model.state_dict())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "resnet"}, "expected a model name of featherface_v1, .*; got 'resnet'"),
        ({"name": "featherface_v1", "preset": "v1"}, "preset of v1_489015, .*; got 'v1'"),
        (
            {"name": "featherface_v1", "chanels": 8},
            "field of FeatherFace V1 of channels, .*chanels",
        ),
        ({"name": "featherface_v1", "context": "fpn"}, "context module of dcn_ssh, ssh, conv"),
        ({"name": "featherface_v1", "channels": 58}, "divisible by 4, got 58"),
        ({"name": "featherface_v1", "prior_sizes": [[16], [32]]}, "one list of prior sizes per"),
        ({"name": "featherface_v1", "prior_sizes": [[16], [32], [1, 2]]}, "equally many prior"),
    ],
)
def test_wrong_model_options_say_what_was_expected(config, message):
    with pytest.raises(ValueError, match=message):
        build_model(config)


def upstream_names(model: torch.nn.Module, preset: str) -> dict[str, torch.Tensor]:
    """Our state dict under the names of the published code, spelled out independently."""
    spelling = (
        ("backbone_cbam_{}", "attention_cbam_{}")
        if preset in INTERLEAVED
        else ("bacbkbone_{}_cbam", "bif_cbam_{}")
    )
    out = {}
    for key, value in model.state_dict().items():
        if key.endswith(".index"):
            continue
        new = key
        for a, b in (
            [
                ("backbone.stage1.0.conv", "body.stage1.0.0"),
                ("backbone.stage1.0.norm", "body.stage1.0.1"),
                ("backbone", "body"),
                ("depthwise.conv", "0"),
                ("depthwise.norm", "1"),
                ("pointwise.conv", "3"),
                ("pointwise.norm", "4"),
            ]
            if key.startswith("backbone")
            else []
        ):
            new = new.replace(a, b, 1)
        parts = new.split(".")
        if new.startswith("neck.bifpn"):
            node, rest = parts[3], ".".join(parts[4:])
            names = {
                "p4_down": "conv4_up",
                "p3_out": "conv3_up",
                "p4_out": "conv4_down",
                "p5_out": "conv5_down",
            }
            fused = {"p4_down": "p4_w1", "p3_out": "p3_w1", "p4_out": "p4_w2", "p5_out": "p5_w2"}
            if node in names and rest == "weight":
                tail = fused[node]
            elif node in names:
                rest = rest.replace("norm", "bn")
                for side in ("depthwise", "pointwise"):
                    rest = rest.replace(f"{side}.", f"{side}_conv.conv.")
                tail = f"{names[node]}.{rest}"
            else:
                second = "" if node.startswith("down") else "_2"
                rest = rest.replace("conv.", "0.conv.").replace("norm.", "1.")
                tail = f"p{node[-1]}_down_channel{second}.{rest}"
            new = f"bifpn.{parts[2]}.{tail}"
        elif new.startswith("context.field") and preset == "v1_487103":
            new = (
                f"dcn{int(parts[2]) + 1}."
                + {"conv": "dcn", "norm": "bn"}[parts[4]]
                + "."
                + parts[5]
            )
        elif new.startswith("context.field"):
            branch = {
                "branch3": "conv3X3",
                "shared": "conv5X5_1",
                "branch5": "conv5X5_2",
                "branch7_first": "conv7X7_2",
                "branch7_second": "conv7x7_3",
            }[parts[3]]
            rest = ".".join(parts[4:])
            for a, b in [
                ("conv.offset", "0.offset_conv"),
                ("conv.modulation", "0.modulator_conv"),
                ("conv.weight", "0.regular_conv.weight"),
                ("norm", "1"),
            ]:
                rest = b + rest[len(a) :] if rest.startswith(a) else rest
            new = f"ssh{int(parts[2]) + 1}.{branch}.{rest}"
        elif new.startswith("context.mixer"):
            number = {"reduce": 1, "depthwise": 3, "expand": 5}[parts[3]] + (parts[4] == "norm")
            new = f"ssh{int(parts[2]) + 1}_cs.{number}.{parts[5]}"
        elif new.startswith("neck.attention"):
            rest = ".".join(parts[3:])
            for a, b in [
                ("channel.reduce", "ChannelGate.mlp.1"),
                ("channel.expand", "ChannelGate.mlp.3"),
                ("spatial.conv", "SpatialGate.spatial.conv"),
                ("spatial.norm", "SpatialGate.spatial.bn"),
            ]:
                rest = rest.replace(a, b)
            new = spelling[parts[1] == "attention_out"].format(parts[2]) + "." + rest
        elif new.startswith("heads"):
            head = {"boxes": "BboxHead", "classes": "ClassHead", "landmarks": "LandmarkHead"}[
                parts[2]
            ]
            new = f"{head}.{parts[1]}.conv1x1.{parts[3]}"
        out[new] = value
    return out


@pytest.mark.parametrize("preset", PRESETS)
def test_published_names_of_every_preset_load(preset, tmp_path):
    model = featherface_v1(preset)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1)
    state = upstream_names(model, preset)
    # The profiler's left-overs and the prefix of a parallel wrapper are part of published files.
    state |= {"total_ops": torch.zeros(1), "body.total_params": torch.zeros(1)}
    path = tmp_path / "published.pth"
    torch.save({"module." + k: v for k, v in state.items()}, path)
    loaded = checkpoint.load(path).model
    assert loaded.config["preset"] == preset
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in loaded.state_dict().items())


def test_shuffle_orders():
    plain = dict(featherface_v1("v1_489015").context.named_children())["shuffle"][0].index
    assert plain.tolist() == [*range(0, 56, 2), *range(1, 56, 2)]
    woven = dict(featherface_v1("v1_487103").context.named_children())["shuffle"][0].index
    assert woven.tolist()[:4] == [0, 37, 1, 38]


@pytest.mark.real_data
def test_published_weights_give_the_published_outputs(shared):
    model = checkpoint.load(shared / "weights" / "mobilenet0.25_Final.pth").model
    golden = np.load(shared / "golden" / "v1_489015_outputs.npz")
    noise = np.random.default_rng(0).uniform(-120, 140, (2, 3, 203, 257)).astype(np.float32)
    photo = cv2.imread(str(shared / "widerface/val/images/0--Parade/0_Parade_Parade_0_376.jpg"))
    crop = torch.from_numpy(photo[100:420, 200:616].transpose(2, 0, 1)[None].copy())
    for name, images in [
        ("random_203x257", torch.from_numpy(noise)),
        ("crop_320x416", model.normalise(crop)),
    ]:
        with torch.no_grad():
            outputs = model(images)
        for kind, ours in zip(("boxes", "logits", "landmarks"), outputs, strict=True):
            difference = np.abs(ours.numpy() - golden[f"{name}_{kind}"]).max()
            assert difference <= 2e-5, (name, kind, difference)


@pytest.mark.real_data
def test_imagenet_backbone_loads(shared):
    model = featherface_v1()
    before = model.backbone.stage3[1].pointwise.conv.weight.clone()
    checkpoint.load_backbone(shared / "weights" / "mobilenetV1X0.25_pretrain.tar", model)
    assert not torch.equal(before, model.backbone.stage3[1].pointwise.conv.weight)
