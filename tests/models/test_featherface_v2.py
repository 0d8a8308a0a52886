"""FeatherFace V2: what sharing saves, and that shared weights are one."""

from __future__ import annotations

import itertools

import pytest
import torch

from src import checkpoint
from src.detection.priors import make_priors
from src.models import build_model, featherface_v2
from src.models.attention import CBAMPlus, SharedCBAM
from src.models.heads import Heads, SharedMultiHead

V1 = 592_371
V1_CBAM = 13_568
V1_HEADS = 6_240
PLACES = (64, 128, 256, 64, 64, 64)


def num_parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_cbam_plus():
    assert num_parameters(CBAMPlus(64)) == 612
    assert num_parameters(CBAMPlus(64, reduction=16)) == 612  # the floor of 4 hidden units
    assert num_parameters(CBAMPlus(128, reduction=16)) > num_parameters(CBAMPlus(128))
    assert num_parameters(CBAMPlus(256)) == 2 * 256 * 8 + 100


@pytest.mark.parametrize(
    ("places", "expected"),
    [((32, 64, 128, 64), 1_892), (PLACES, 5_732), ((64,), 612)],
)
def test_parameters_of_shared_cbam(places, expected):
    assert num_parameters(SharedCBAM(places)) == expected


@pytest.mark.parametrize(("channels", "priors", "expected"), [(64, 3, 3_120), (64, 2, 2_080)])
def test_parameters_of_shared_heads(channels, priors, expected):
    head = SharedMultiHead(channels, priors)
    assert num_parameters(head) == expected
    weights = sum(p.numel() for n, p in head.named_parameters() if n.endswith("weight"))
    assert weights == expected - 16 * priors
    assert num_parameters(Heads([channels] * 3, priors)) == 3 * expected


@pytest.mark.parametrize(
    ("shared", "shared_heads", "expected"),
    [
        (True, True, V1 - V1_CBAM + 5_732 - V1_HEADS + 2_080),
        (True, False, V1 - V1_CBAM + 5_732),
        (False, True, V1 - V1_CBAM + 4 * 612 + 1_124 + 4_196 - V1_HEADS + 2_080),
        (False, False, V1 - V1_CBAM + 4 * 612 + 1_124 + 4_196),
    ],
)
def test_parameters_of_the_network(shared, shared_heads, expected):
    model = featherface_v2(cbam={"shared": shared}, shared_heads=shared_heads)
    assert num_parameters(model) == expected


def test_places_of_one_width_share_weights():
    attention = SharedCBAM(PLACES).train()
    for channels in PLACES:
        x = torch.randn(2, channels, 6, 6)
        attention.zero_grad()
        attention(x).sum().backward()
        moved = {n.split(".")[1] for n, p in attention.gates.named_parameters(prefix="gates")
                 if p.grad is not None and p.grad.any()}  # fmt: skip
        assert moved == {str(channels)}
        assert attention.spatial.conv.weight.grad.any()


def test_shared_gate_is_cbam_plus():
    shared, alone = SharedCBAM([64]).eval(), CBAMPlus(64).eval()
    alone.channel.load_state_dict(shared.gates["64"].state_dict())
    alone.spatial.load_state_dict(shared.spatial.state_dict())
    x = torch.randn(2, 64, 5, 5)
    assert torch.equal(shared(x), alone(x))


@pytest.mark.parametrize("size", [(64, 64), (33, 50), (1, 1)])
def test_rows_match_priors_for_any_size(size):
    model = featherface_v2().eval()
    with torch.no_grad():
        rows = model(torch.randn(2, 3, *size))
    num_priors = len(make_priors(model.priors, *size))
    assert [tuple(o.shape) for o in rows] == [(2, num_priors, k) for k in (4, 2, 10)]


def test_state_dict_names_shared_weights_once(tmp_path):
    for shared, shared_heads in itertools.product([True, False], repeat=2):
        model = featherface_v2(cbam={"shared": shared}, shared_heads=shared_heads).eval()
        state = model.state_dict()
        assert sum(state[n].numel() for n, _ in model.named_parameters()) == num_parameters(model)
        addresses = [value.data_ptr() for value in state.values()]
        assert len(addresses) == len(set(addresses))
        checkpoint.save(tmp_path / "a.ckpt", model)
        again = checkpoint.load(tmp_path / "a.ckpt").model
        assert again.config == model.config
        image = torch.randn(1, 3, 40, 40)
        with torch.no_grad():
            assert all(map(torch.equal, model(image), again.eval()(image)))


@pytest.mark.parametrize(
    "change",
    [
        {"cbam": {"residual": False}},
        {"cbam": {"shared": False}},
        {"cbam": {"reduction": 8}},
        {"shared_heads": False},
    ],
)
def test_switches_change_the_network(change):
    model, other = featherface_v2(), featherface_v2(**change)
    if change != {"cbam": {"residual": False}}:
        assert num_parameters(model) != num_parameters(other)
        return
    assert num_parameters(model) == num_parameters(other)
    other.load_state_dict(model.state_dict())
    image = torch.randn(1, 3, 40, 40)
    assert not torch.equal(model.eval()(image)[0], other.eval()(image)[0])


def test_every_parameter_gets_a_gradient():
    idle: set[str] | None = None
    for _ in range(4):  # a hidden unit may start dead: several initialisations
        model = featherface_v2().train()
        sum(o.square().sum() for o in model(torch.randn(2, 3, 64, 64))).backward()
        without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
        idle = without if idle is None else idle & without
        if not idle:
            return
    assert idle == set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cbam": {"ratio": 2}}, r"options of cbam of shared, reduction, residual; got \['ratio'"),
        ({"cbam": {"shared": 1}}, "shared of cbam to be true or false, got 1"),
        ({"cbam": {"reduction": 0}}, "reduction of at least 1, got 0"),
        ({"shared_heads": "yes"}, "shared_heads to be true or false, got 'yes'"),
        ({"heads": 1}, "arguments of model 'featherface_v2'"),
    ],
)
def test_wrong_options_say_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_model({"name": "featherface_v2", **arguments})
