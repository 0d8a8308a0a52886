"""Networks turned into others of their scheme."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from random_networks import randomise, restate

from src.models import FaceDetector, build_model, featherface_v1, featherface_v2
from src.pruning.conversion import convert

SMALL: dict[str, Any] = {
    "channels": 16, "bifpn_repeats": 1, "widths": {f"backbone_{i}": 8 for i in range(14)},
}  # fmt: skip


@pytest.fixture(scope="module")
def network(batches: list[torch.Tensor]) -> FaceDetector:
    model = randomise(featherface_v1(**SMALL), seed=0)
    restate(model, model.normalise(batches[0]), seed=0)
    return model.eval()


@pytest.fixture(scope="module")
def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    small = torch.randint(0, 256, (4, 4, 3, 8, 8), generator=generator).float()
    return [torch.nn.functional.interpolate(pixels, (64, 64), mode="bicubic") for pixels in small]


def outputs(model: FaceDetector, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat(model(model.normalise(pixels)), dim=2)


def error(model: FaceDetector, wanted: torch.Tensor, pixels: torch.Tensor) -> float:
    """Share of the variance of the outputs that a network misses."""
    return float((outputs(model, pixels) - wanted).var() / wanted.var())


def test_the_same_network_is_a_copy(network, batches):
    copy = convert(network, network.config, batches)
    for name, tensor in network.state_dict().items():
        assert torch.equal(copy.state_dict()[name], tensor), name


def test_without_deformation(network, batches):
    told: dict[str, float] = {}
    plain = convert(network, {**network.config, "context": "ssh"}, batches,
                    report=told.__setitem__)  # fmt: skip
    wanted = outputs(network, batches[0])
    start = build_model({**network.config, "context": "ssh"}).eval()
    shared = {k: v for k, v in network.state_dict().items() if k in start.state_dict()}
    start.load_state_dict(shared, strict=False)
    assert 2 * error(plain, wanted, batches[0]) < error(start, wanted, batches[0])
    assert any(name.startswith("context.field.0.branch3") for name in told)
    assert not any(name.startswith("backbone") for name in told)  # was copied
    assert not plain.training


def test_narrower_channels_are_chosen(network, batches):
    """Two channels of a block are silent: a network that lacks two loses nothing."""
    torch.manual_seed(0)
    model = build_model(network.config).eval()
    model.load_state_dict(network.state_dict())
    norm = model.backbone.stage1[5].depthwise.norm
    with torch.no_grad():
        norm.weight[[3, 5]] = norm.bias[[3, 5]] = 0
    widths = {**model.config["widths"], "backbone_4": 6}
    narrow = convert(model, {**model.config, "widths": widths}, batches, damping=1e-9)
    assert narrow.config["widths"] == widths
    assert error(narrow, outputs(model, batches[0]), batches[0]) < 1e-4


def test_a_student_takes_what_fits(network, batches):
    student = {"name": "nano_b", "channels": 16, "context_groups": 1, "widths": SMALL["widths"]}
    converted = convert(network, student, batches)
    for name, tensor in network.backbone.state_dict().items():
        assert torch.equal(converted.backbone.state_dict()[name], tensor), name
    assert torch.isfinite(outputs(converted, batches[0])).all()


@pytest.mark.gpu
def test_on_the_device_of_the_source(network, batches):
    source = build_model(network.config).eval()
    source.load_state_dict(network.state_dict())
    plain = convert(source.cuda(), {**network.config, "context": "ssh"}, batches)
    assert plain.mean.is_cuda


def test_networks_that_cannot_be_converted_are_refused(network, batches):
    with pytest.raises(ValueError, match=r"expected a network that can be pruned \(.*v1.*got .*v2"):
        convert(network, featherface_v2().config, batches)
