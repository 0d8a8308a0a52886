"""Refitting layers to what those of a larger network gave, and the importance that follows."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from random_networks import randomise, restate

from src.models import FaceDetector, build_model, featherface_v1, wiring_of
from src.models.deformable import DeformableConv
from src.pruning import remove
from src.pruning.elimination import elimination_scores
from src.pruning.reconstruction import kept_outputs, reconstruct

HALF = 8
"""Channels of a backbone block that has twice as many."""


@pytest.fixture
def network(batches: list[torch.Tensor]) -> FaceDetector:
    widths = {f"backbone_{i}": 2 * HALF if i == 4 else 8 for i in range(14)}
    model = randomise(featherface_v1(channels=16, bifpn_repeats=1, widths=widths), seed=0)
    restate(model, model.normalise(batches[0]), seed=0)
    return model.eval()


@pytest.fixture
def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list(torch.randint(0, 256, (4, 4, 3, 64, 96), generator=generator))


def twins(model: FaceDetector) -> FaceDetector:
    """The same network, one half of the channels of a backbone block the copy of the other."""
    model = copy.deepcopy(model)
    made, after = model.backbone.stage1[4].pointwise, model.backbone.stage1[5].depthwise
    for block in (made, after):
        for tensor in block.state_dict().values():
            if tensor.dim():
                tensor[HALF:] = tensor[:HALF]
    return model


def block_channels(model: FaceDetector) -> np.ndarray:
    return next(v for v in wiring_of(model).variables if v.name == "backbone_4").channels


def without(model: FaceDetector, channels: np.ndarray) -> tuple[FaceDetector, np.ndarray]:
    wiring = wiring_of(model)
    kept = np.ones(wiring.num_channels, bool)
    kept[channels] = False
    return remove(model, wiring, kept).eval(), kept


def difference(one: FaceDetector, other: FaceDetector, pixels: torch.Tensor) -> float:
    """Largest difference of the pyramids, as a share of the values' deviation."""
    with torch.inference_mode():
        ours, theirs = (
            model.context(model.neck(model.backbone(model.normalise(pixels))))
            for model in (one, other)
        )
    return max(float((a - b).abs().max() / b.std()) for a, b in zip(ours, theirs, strict=True))


def test_what_copies_gave_comes_back(network, batches):
    large = twins(network)
    small, kept = without(large, block_channels(large)[HALF:])
    before = difference(small, large, batches[0])
    outputs = kept_outputs(large, wiring_of(large), kept)
    reconstruct(small, large, batches, outputs=outputs, damping=1e-9)
    assert difference(small, large, batches[0]) < before / 20


def test_a_loss_that_no_refit_avoids_is_made_smaller(network, batches):
    small, kept = without(network, block_channels(network)[:8])
    bare = copy.deepcopy(small)
    outputs = kept_outputs(network, wiring_of(network), kept)
    told: dict[str, float] = {}
    reconstruct(small, network, batches, outputs=outputs, report=told.__setitem__)
    assert all(0 <= share < 1 for share in told.values()), told
    assert difference(small, network, batches[0]) < difference(bare, network, batches[0])


def test_where_nothing_is_gone_nothing_moves(network, batches):
    small = copy.deepcopy(network)
    reconstruct(small, network, batches, outputs={})
    for mine, theirs in zip(
        small.state_dict().values(), network.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_a_context_without_deformation_takes_the_place_of_one_with(network, batches):
    """Steered nowhere, a deformable convolution is a plain one, with another kernel."""
    for module in network.modules():
        if isinstance(module, DeformableConv):
            for steering in (module.offset, module.modulation):
                torch.nn.init.zeros_(steering.weight)
                torch.nn.init.zeros_(steering.bias)
    plain = build_model({**network.config, "context": "ssh"}).eval()
    shared = {k: v for k, v in network.state_dict().items() if k in plain.state_dict()}
    plain.load_state_dict(shared)
    for name, parameter in plain.named_parameters():
        if name.startswith("context.field") and parameter.dim() == 4:
            torch.nn.init.zeros_(parameter)
    before = difference(plain, network, batches[0])
    reconstruct(plain, network, batches, outputs={}, damping=1e-9)
    assert difference(plain, network, batches[0]) < before / 10


def test_statistics_take_the_offset(network, batches):
    """The mean of what the norm reads is the one it was, though its inputs have another mean."""
    small, kept = without(network, block_channels(network)[:8])
    reader = "backbone.stage1.5.pointwise"
    outputs = kept_outputs(network, wiring_of(network), kept)
    reconstruct(small, network, batches, outputs=outputs)
    means = []
    for model in (small, network):
        layer = model.get_submodule(reader)
        seen: list[torch.Tensor] = []
        hook = layer.norm.register_forward_hook(lambda m, i, o, seen=seen: seen.append(o.clone()))
        with torch.inference_mode():
            for pixels in batches:
                model(model.normalise(pixels))
        hook.remove()
        means.append(torch.cat(seen).mean((0, 2, 3)))
    torch.testing.assert_close(*means, rtol=0, atol=1e-3)


def test_copies_go_first(network, batches):
    large = twins(network)
    wiring = wiring_of(large)
    scores = elimination_scores(large, wiring, batches, damping=1e-9)
    block = scores[block_channels(large)]
    assert sorted(block) == list(range(2 * HALF))
    gone = set(np.argsort(block)[:HALF] % HALF)
    assert gone == set(range(HALF))  # one of each pair, and never the second too


def test_a_channel_that_nothing_reads_goes_first(network, batches):
    silent = 7
    model = copy.deepcopy(network)
    norm = model.backbone.stage1[5].depthwise.norm
    with torch.no_grad():
        norm.weight[silent] = norm.bias[silent] = 0
    scores = elimination_scores(model, wiring_of(model), batches, damping=1e-9)
    assert int(scores[block_channels(model)].argmin()) == silent
