"""Nano-B and Nano-B Enhanced: exact sizes, switches, widths, any input, rebuilding."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from composing import composed
from hydra.utils import instantiate
from torch import nn

from src import checkpoint
from src.detection.priors import PriorSpec, make_priors
from src.models import FaceDetector, build_model, nano_b
from src.models.nano_b import NanoBOptions, width_table
from src.profiling.complexity import complexity

PRESETS = ["nano_b", "nano_b_enhanced", "nano_b_enhanced_w48"]


@functools.cache
def preset(name: str, *overrides: str) -> dict[str, Any]:
    """The arguments that ``model=name`` and further settings give; not to be changed."""
    with (
        TemporaryDirectory() as folder,
        composed("train", Path(folder), f"model={name}", *overrides) as config,
    ):
        return instantiate(config.model, _convert_="all")


def dense_widths(config: dict[str, Any]) -> dict[str, int]:
    table = width_table(NanoBOptions.from_config(config))
    return {name: width.size for name, width in table.items()}


def num_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def parts(model: FaceDetector) -> dict[str, int]:
    """Parameters of every part; those without any are left out."""
    named = {"backbone": model.backbone, **dict(model.neck.named_children())}
    named |= {**dict(model.context.named_children()), "heads": model.heads}
    return {name: num_parameters(part) for name, part in named.items() if num_parameters(part)}


def randomise(model: nn.Module) -> None:
    """Weights and statistics that depend on a tensor's name only; none is 0."""
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            generator = torch.Generator().manual_seed(sum(name.encode()))
            noise = torch.rand(value.shape, generator=generator)
            # Small enough that gates do not saturate; variances and norm weights stay positive.
            value.copy_(0.5 + noise if "norm" in name else (noise - 0.4) * 0.3)


def outputs(model: FaceDetector, size: tuple[int, int] = (70, 97)) -> list[torch.Tensor]:
    noise = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return list(model.eval()(noise))


# Sizes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nano_b", {
            "backbone": 213_072, "attention_in": 22_308, "bifpn": 56_601, "attention_out": 4_431,
            "field": 66_258, "heads": 22_992,
        }),
        ("nano_b_enhanced", {
            "backbone": 213_072, "decoupling": 2_000, "attention_in": 11_528, "bifpn": 20_041,
            "semantic": 4_076, "assn": 2_112, "attention_out": 524, "field": 26_208,
            "heads": 8_016,
        }),
        ("nano_b_enhanced_w48", {
            "backbone": 213_072, "decoupling": 2_000, "attention_in": 11_528, "bifpn": 33_129,
            "semantic": 8_226, "assn": 3_886, "attention_out": 878, "field": 58_752,
            "heads": 14_256,
        }),
    ],
)  # fmt: skip
def test_parameters_by_part(name, expected):
    assert parts(build_model(preset(name))) == expected


@pytest.mark.parametrize(
    ("name", "total"),
    [("nano_b", 385_662), ("nano_b_enhanced", 287_577), ("nano_b_enhanced_w48", 345_727)],
)
def test_total_is_what_the_file_says(name, total):
    assert num_parameters(build_model(preset(name))) == total
    text = (Path(__file__).parents[2] / "conf" / "model" / f"{name}.yaml").read_text()
    assert f"{total:,}" in text.splitlines()[0]


def test_parameters_within_parts():
    plain, enhanced = build_model(preset("nano_b")), build_model(preset("nano_b_enhanced"))
    assert [num_parameters(m) for m in plain.neck.attention_in] == [1_196, 4_340, 16_772]
    assert [num_parameters(m) for m in plain.neck.attention_out] == [1_477] * 3
    assert num_parameters(plain.neck.bifpn.project) == 32_688
    assert num_parameters(plain.neck.bifpn.p4_down) == 5_976 + 2  # and its fusion weights
    assert [num_parameters(m) for m in plain.context.field] == [22_086] * 3
    assert [num_parameters(m.stem) for m in plain.heads] == [5_328] * 3
    assert [num_parameters(m) for m in enhanced.neck.attention_in] == [680, 2_284, 8_564]
    assert [num_parameters(m) for m in enhanced.neck.attention_out] == [0, 262, 262]
    assert num_parameters(enhanced.neck.bifpn.project) == 14_528
    assert [num_parameters(m) for m in enhanced.context.field] == [8_736] * 3
    assert [num_parameters(m.stem) for m in enhanced.heads] == [1_088] * 3


@pytest.mark.parametrize(("name", "millions"), [("nano_b", 691), ("nano_b_enhanced", 490)])
def test_multiply_adds(name, millions):
    counted = complexity(build_model(preset(name)), 640, 640).multiply_adds
    assert counted == pytest.approx(millions * 1e6, rel=0.01)


# Switches: what is typed, the parts that change, and by how many parameters in all.


@pytest.mark.parametrize(
    ("name", "overrides", "changed", "difference"),
    [
        ("nano_b", ["head_stem=false"], {"heads"}, -3 * 5_328),
        ("nano_b", ["shared_heads=true"], {"heads"}, -2 * (5_328 + 2_336)),
        ("nano_b", ["cbam.residual=false"], set(), 0),
        ("nano_b", ["scale_decoupling=true"], {"decoupling"}, 2_000),
        ("nano_b", ["scale_decoupling=true", "deep_evidence=true"], {"decoupling"}, 2_257),
        ("nano_b", ["semantic=true"], {"semantic"}, 17_091),
        ("nano_b", ["assn=true"], {"assn", "attention_out"}, 7_507 - 1_477),
        ("nano_b", ["context_pointwise=true"], {"field"}, 3 * (5_868 + 684 - 11_736)),
        ("nano_b_enhanced", ["head_stem=false"], {"heads"}, -3 * 1_088),
        ("nano_b_enhanced", ["shared_heads=true"], {"heads"}, -2 * (1_088 + 1_584)),
        ("nano_b_enhanced", ["cbam.residual=false"], set(), 0),
        ("nano_b_enhanced", ["scale_decoupling=false"], {"decoupling"}, -2_000),
        ("nano_b_enhanced", ["deep_evidence=true"], {"decoupling"}, 257),
        ("nano_b_enhanced", ["semantic=false"], {"semantic"}, -4_076),
        ("nano_b_enhanced", ["semantic_all_levels=true"], set(), 0),
        ("nano_b_enhanced", ["semantic_fused_gate=true"], {"semantic"}, 9),
        ("nano_b_enhanced", ["assn_published=true"], {"assn"}, 22_472 - 2_112),
        ("nano_b_enhanced", ["context_pointwise=true"], {"field"}, 3 * (2_320 + 272 - 4_640)),
        ("nano_b_enhanced", ["assn=false"], {"assn", "attention_out"}, -2_112 + 262),
    ],
)
def test_switches_change_their_part_and_the_output(name, overrides, changed, difference):
    before = build_model(preset(name))
    after = build_model(preset(name, *[f"model.{each}" for each in overrides]))
    old, new = parts(before), parts(after)
    assert {part for part in old | new if old.get(part) != new.get(part)} == changed
    assert sum(new.values()) - sum(old.values()) == difference
    randomise(before)
    randomise(after)
    pairs = list(zip(outputs(before), outputs(after), strict=True))
    assert all(a.shape == b.shape and not torch.allclose(a, b) for a, b in pairs)


def test_settings_without_parameters_change_the_output():
    # Which channels meet in a group, and which a shuffle brings together.
    for change in ({"shuffle_groups": 4}, {"context_groups": 1}):
        a, b = nano_b(), nano_b(**change)
        randomise(a)
        randomise(b)
        assert not torch.equal(outputs(a)[0], outputs(b)[0])


# Priors and rows


def test_enhanced_adds_a_prior_to_those_of_the_teacher():
    teacher = make_priors(PriorSpec(), 640, 640)
    student = make_priors(build_model(preset("nano_b_enhanced")).priors, 640, 640)
    assert len(student) == 25_200
    cells = student.view(-1, 3, 4)
    assert torch.equal(cells[:, 1:].reshape(-1, 4), teacher)  # bit for bit
    torch.testing.assert_close(cells[:, 0, 2:] * math.sqrt(2), cells[:, 1, 2:])
    assert len(make_priors(build_model(preset("nano_b")).priors, 640, 640)) == 16_800


@pytest.mark.parametrize("name", PRESETS[:2])
@pytest.mark.parametrize("size", [(64, 64), (33, 50), (1, 1), (321, 500), (8, 200)])
def test_rows_match_priors_for_any_size(name, size):
    model = build_model(preset(name))
    num_priors = len(make_priors(model.priors, *size))
    rows = outputs(model, size)
    assert [tuple(o.shape) for o in rows] == [(2, num_priors, k) for k in (4, 2, 10)]
    assert all(o.isfinite().all() for o in rows)


def test_images_of_a_batch_do_not_mix():
    model = build_model(preset("nano_b_enhanced", "model.deep_evidence=true")).eval()
    randomise(model)
    images = torch.randn(3, 3, 50, 70)
    with torch.no_grad():
        for together, alone in zip(model(images), model(images[1:2]), strict=True):
            torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PRESETS[:2])
def test_memory_format_and_bfloat16(name):
    model = build_model(preset(name)).eval()
    randomise(model)
    images = torch.randn(2, 3, 70, 97)
    with torch.no_grad():
        plain = model(images)
        last = model.to(memory_format=torch.channels_last)(
            images.contiguous(memory_format=torch.channels_last)
        )
        with torch.autocast("cpu", torch.bfloat16):
            half = model(images)
    for a, b, c in zip(plain, last, half, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        assert (a - c).abs().max() < 0.05 * a.abs().max()


# Training


@pytest.mark.parametrize("name", PRESETS[:2])
def test_every_parameter_gets_a_gradient(name):
    idle: set[str] | None = None
    for _ in range(6):  # the hidden unit of a narrow CBAM may start dead: several initialisations
        overrides = ["model.deep_evidence=true"] if name == "nano_b_enhanced" else []
        model = build_model(preset(name, *overrides)).train()
        images = torch.randn(2, 3, 64, 64)
        # Branches start at 0 (gamma, a norm's weight, a last convolution), so what stands in front
        # of that factor has no gradient until the first step has moved it.
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        sum(o.square().sum() for o in model(images)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        optimizer.zero_grad()
        sum(o.square().sum() for o in model(images)).backward()
        without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
        idle = without if idle is None else idle & without
        if not idle:
            return
    assert idle == set()


# Widths

BOUNDS = {
    "early": (0.0, 0.4), "late": (0.1, 0.5), "cbam": (0.1, 0.5),
    "bifpn": (0.15, 0.6), "ssh": (0.1, 0.5), "heads": (0.0, 0.3),
}  # fmt: skip
GROUPS = {
    "cbam": "cbam", "decoupling": "cbam", "assn_gate": "cbam",
    "bifpn": "bifpn", "semantic": "bifpn", "gcg": "bifpn", "assn_fusion": "bifpn",
    "ssh": "ssh", "head": "heads",
}  # fmt: skip
LEAST = {"backbone": 4, "bifpn": 4, "head": 4, "ssh": 2, "semantic": 2, "assn_fusion": 2}


def pruned_widths(config: dict[str, Any], rates: dict[str, float]) -> dict[str, int]:
    """keep = max(least, q round((1 - rate) C / q)), q the groups of the convolution."""
    kept = {}
    for name, dense in dense_widths(config).items():
        if name.startswith("backbone_"):
            group = "early" if int(name.removeprefix("backbone_")) <= 5 else "late"
        else:
            group = next(g for prefix, g in GROUPS.items() if name.startswith(prefix))
        least = next((least for prefix, least in LEAST.items() if name.startswith(prefix)), 1)
        q = config["context_groups"] if name.startswith(("bifpn", "ssh")) else 1
        kept[name] = max(least, q * math.floor((1 - rates[group]) * dense / q + 0.5))
    return kept


@pytest.mark.parametrize(
    ("name", "position", "total"),
    [
        ("nano_b", 0.0, 314_015),
        ("nano_b", 0.5, 194_450),
        ("nano_b", 0.562, 178_765),
        ("nano_b", 0.645, 164_891),
        ("nano_b", 1.0, 103_063),
        ("nano_b_enhanced", 0.0, 234_930),
        ("nano_b_enhanced", 0.302, 179_552),
        ("nano_b_enhanced", 0.5, 148_531),
        ("nano_b_enhanced", 1.0, 79_552),
    ],
)
def test_sizes_of_pruned_networks(name, position, total):
    config = preset(name)
    rates = {group: low + position * (high - low) for group, (low, high) in BOUNDS.items()}
    model = build_model({**config, "widths": pruned_widths(config, rates)})
    assert num_parameters(model) == total
    num_priors = len(make_priors(model.priors, 33, 50))
    assert outputs(model, (33, 50))[0].shape == (2, num_priors, 4)
    assert model.pyramid_channels == (model.config["widths"]["bifpn"],) * 3


@pytest.mark.parametrize(
    ("name", "position", "expected"),
    [
        ("nano_b", 0.562, {
            "backbone": 102_483, "attention_in": 10_651, "bifpn": 22_143, "attention_out": 1_956,
            "field": 26_676, "heads": 14_856,
        }),
        ("nano_b_enhanced", 0.302, {
            "backbone": 134_510, "decoupling": 1_524, "attention_in": 6_988, "bifpn": 11_440,
            "semantic": 2_401, "assn": 1_363, "attention_out": 434, "field": 14_310,
            "heads": 6_582,
        }),
    ],
)  # fmt: skip
def test_parts_of_pruned_networks(name, position, expected):
    config = preset(name)
    rates = {group: low + position * (high - low) for group, (low, high) in BOUNDS.items()}
    assert parts(build_model({**config, "widths": pruned_widths(config, rates)})) == expected


def test_w48_pruned_by_a_third_is_32_wide():
    config = preset("nano_b_enhanced_w48")
    rates = {"bifpn": 0.33, "ssh": 0.33, "late": 0.35, "early": 0.2, "cbam": 0.3, "heads": 0.15}
    model = build_model({**config, "widths": pruned_widths(config, rates)})
    assert num_parameters(model) == 161_824
    assert model.config["widths"]["bifpn"] == 32
    same = parts(build_model(preset("nano_b_enhanced")))
    assert {part: parts(model)[part] for part in ("semantic", "assn", "field")} == {
        part: same[part] for part in ("semantic", "assn", "field")
    }


def test_names_of_widths():
    plain = dense_widths(preset("nano_b"))
    assert list(plain)[:18] == [
        *(f"backbone_{i}" for i in range(14)), "cbam_c3", "cbam_c4", "cbam_c5", "bifpn",
    ]  # fmt: skip
    assert [plain[f"backbone_{i}"] for i in (0, 5, 11, 13)] == [8, 64, 128, 256]
    enhanced = dense_widths(preset("nano_b_enhanced"))
    added = {name: width for name, width in enhanced.items() if name not in plain}
    assert added == {
        "decoupling": 8, "semantic": 8, "gcg_p3": 4, "gcg_p4": 4, "gcg_p5": 4,
        "assn_gate": 4, "assn_fusion": 12,
    }  # fmt: skip
    assert plain.keys() - enhanced.keys() == {"cbam_p3"}
    shared = dense_widths({**preset("nano_b"), "shared_heads": True})
    assert [name for name in shared if name.startswith("head")] == ["head"]
    stemless = dense_widths({**preset("nano_b"), "head_stem": False})
    assert not [name for name in stemless if name.startswith("head")]


def test_every_width_narrows_the_network():
    seen = set()
    for assn in (True, False):  # with it, P3 has no CBAM
        config = {**preset("nano_b_enhanced"), "context_groups": 2, "assn": assn}
        total = num_parameters(build_model(config))
        for width, dense in dense_widths(config).items():
            if width not in seen:
                fewer = dense - min(2, dense - 1)  # stays even where it must
                narrow = build_model({**config, "widths": {width: fewer}})
                assert num_parameters(narrow) < total, width
                assert narrow.config["widths"] == {**dense_widths(config), width: fewer}
        seen |= dense_widths(config).keys()


def test_dense_widths_change_nothing():
    for name in PRESETS:
        plain = build_model(preset(name))
        spelled = build_model({**preset(name), "widths": dense_widths(preset(name))})
        assert {k: v.shape for k, v in plain.state_dict().items()} == {
            k: v.shape for k, v in spelled.state_dict().items()
        }
        assert plain.config["widths"] is None


# Rebuilding


@pytest.mark.parametrize("name", PRESETS)
def test_checkpoint_rebuilds_the_network(name, tmp_path):
    config = preset(name)
    widths = pruned_widths(config, dict.fromkeys(BOUNDS, 0.3))
    for built in (config, {**config, "widths": widths}):
        model = build_model(built)
        randomise(model)
        for shuffle in model.context.shuffle:  # what pruning leaves is an order of its own
            shuffle.index.copy_(torch.randperm(len(shuffle.index)))
        checkpoint.save(tmp_path / "a.ckpt", model)
        again = checkpoint.load(tmp_path / "a.ckpt").model
        assert again.config == model.config
        for a, b in zip(outputs(model), outputs(again), strict=True):
            assert torch.equal(a, b)


def test_imagenet_weights_fit_the_backbone():
    teacher = build_model({"name": "featherface_v1"})
    nano_b().backbone.load_state_dict(teacher.backbone.state_dict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chanels": 8}, r"options of nano_b of channels, cbam, .*; got \['chanels'\]"),
        ({"cbam": {"ratio": 2}}, r"options of cbam of reduction, residual; got \['ratio'\]"),
        ({"cbam": None}, "a table of options of cbam, got None"),
        ({"cbam": {"reduction": 0}}, "reduction of at least 1, got 0"),
        ({"cbam": {"residual": 1}}, "residual of cbam to be true or false, got 1"),
        ({"assn": "maybe"}, "assn of nano_b to be true or false, got 'maybe'"),
        ({"channels": 32.0}, "channels of nano_b to be a whole number, got 32.0"),
        ({"channels": 74}, "divisible by 4, got 74"),
        ({"channels": 4}, "at least 8 pyramid channels, got 4"),
        ({"channels": 36}, "width ssh_p3_shared divisible by context_groups=2, got 9"),
        ({"context_groups": 0}, "at least 1 context group, got 0"),
        ({"shuffle_groups": 0}, "shuffle_groups of nano_b as a whole number from 1 to 4096, got 0"),
        ({"deep_evidence": True}, "scale_decoupling where deep_evidence is on"),
        ({"prior_sizes": [[16], [32]]}, "one list of prior sizes per"),
        ({"widths": {"stem": 4}}, "widths of backbone_0, .*head_p5; got 'stem'"),
        ({"widths": {"semantic": 4}}, "got 'semantic'"),  # of a part that is off
        ({"widths": {"bifpn": 0}}, "width bifpn from 1 to 72, got 0"),
        ({"widths": {"head_p3": 73}}, "from 1 to 72, got 73; widths only narrow"),
        ({"widths": {"bifpn": 71}}, "width bifpn divisible by context_groups=2, got 71"),
        ({"widths": {"ssh_p4_branch5": 17}}, "ssh_p4_branch5 divisible by context_groups=2"),
        ({"shared_heads": True, "widths": {"ssh_p3_branch3": 34}},
         "ssh_p4_branch3 as wide as ssh_p3_branch3 for shared_heads, got 36 and 34"),
    ],
)  # fmt: skip
def test_wrong_options_say_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_model({"name": "nano_b", **arguments})


# Compilers: of a network with every part and grouped convolutions.


@pytest.fixture
def everything() -> FaceDetector:
    overrides = ["model.context_groups=2", "model.deep_evidence=true"]
    model = build_model(preset("nano_b_enhanced", *overrides)).eval()
    randomise(model)
    return model


@pytest.mark.slow
def test_compiles_without_graph_breaks(everything):
    compiled = torch.compile(everything, fullgraph=True, backend="aot_eager")
    images = torch.randn(2, 3, 70, 97)
    with torch.no_grad():
        for a, b in zip(everything(images), compiled(images), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.slow
def test_exports_with_any_batch_and_size(everything):
    auto = torch.export.Dim.AUTO
    exported = torch.export.export(
        everything, (torch.randn(2, 3, 96, 128),), dynamic_shapes=({0: auto, 2: auto, 3: auto},)
    ).module()
    for shape in [(1, 3, 96, 128), (3, 3, 160, 224), (2, 3, 33, 50)]:
        images = torch.randn(*shape)
        with torch.no_grad():
            for a, b in zip(everything(images), exported(images), strict=True):
                torch.testing.assert_close(a, b)
