"""Every kind of network that can be pruned, with weights whose outputs are worth comparing."""

from __future__ import annotations

import copy
import functools
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from composing import composed
from hydra.utils import instantiate
from torch import Tensor, nn

from src.models import FaceDetector, build_model
from src.models.channels import Wiring
from src.models.deformable import DeformableConv
from src.models.heads import LevelHead
from src.models.necks import Fusion
from src.pruning import Masks, PruningSpec

NETWORKS: dict[str, tuple[str, ...]] = {
    "v1_489015": ("model=featherface_v1",),
    "v1_493778": ("model=featherface_v1", "model.preset=v1_493778"),
    "v1_487103": ("model=featherface_v1", "model.preset=v1_487103"),
    "v1_592371": ("model=featherface_v1", "model.preset=v1_592371"),
    "nano_b": ("model=nano_b",),
    "enhanced": ("model=nano_b_enhanced",),
    "w48": ("model=nano_b_enhanced_w48",),
    "nano_b_shared_heads": ("model=nano_b", "model.shared_heads=true"),
    "nano_b_no_stem": ("model=nano_b", "model.head_stem=false", "model.cbam.residual=false"),
    "enhanced_deep": ("model=nano_b_enhanced", "model.deep_evidence=true"),
    "enhanced_shared_grouped": (
        "model=nano_b_enhanced", "model.shared_heads=true", "model.head_stem=false",
        "model.context_groups=2", "model.cbam.residual=false",
    ),
    "plain": ("model=plain",),
    "plain_small": ("model=plain_small",),
    "v1_376344": ("model=featherface_v1", "model.preset=v1_376344"),
    "no_first_block": (
        "model=featherface_v1", "model.preset=v1_376344", "+model.first_block=false",
    ),
    "enhanced_drawn": (
        "model=nano_b_enhanced", "model.context_pointwise=true", "model.semantic_all_levels=true",
        "model.semantic_fused_gate=true",
    ),
    "nano_b_pointwise_shared": (
        "model=nano_b", "model.context_pointwise=true", "model.shared_heads=true",
    ),
    "enhanced_published_assn": ("model=nano_b_enhanced", "model.assn_published=true"),
}  # fmt: skip
"""Name -> what is typed. New ones go to the end: the place of a network decides its seeds."""


def all_but_slow(*quick: str) -> list[Any]:
    """Every network as a parameter; those that are not ``quick`` are marked slow."""
    return [
        name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS
    ]


BOUNDS = {
    "backbone_early": [0.0, 0.4], "backbone_late": [0.1, 0.5], "cbam": [0.1, 0.5],
    "bifpn": [0.15, 0.6], "ssh": [0.1, 0.5], "heads": [0.0, 0.3],
}  # fmt: skip
"""Of conf/pruning."""

SIZE = (64, 96)


@functools.cache
def arguments(name: str) -> dict[str, Any]:
    """What :func:`src.models.build_model` takes for a network of :data:`NETWORKS`."""
    with TemporaryDirectory() as folder, composed("train", Path(folder), *NETWORKS[name]) as config:
        return instantiate(config.model, _convert_="all")


def pixels(seed: int, *, batch: int = 2, size: tuple[int, int] = SIZE) -> Tensor:
    """Normalised images of noise."""
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def randomise(model: FaceDetector, seed: int) -> FaceDetector:
    """Random weights; no factor, offset or branch is 0, as many are before a training."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        for name, value in module.named_parameters(recurse=False):
            noise = torch.randn(value.shape, generator=generator)
            if isinstance(module, Fusion):
                value.copy_(0.2 + noise.abs())
            elif isinstance(module, nn.BatchNorm2d) and name == "weight":
                value.copy_(1 + 0.2 * noise)
            elif value.dim() < 2:
                value.copy_(0.3 * noise)
            else:  # He et al., ICCV 2015: activations keep their size
                value.copy_(noise * math.sqrt(2 / value[0].numel()))
    for module in model.modules():
        if isinstance(module, DeformableConv):  # noise that is read far away is chaotic
            for steering in (module.offset, module.modulation):
                steering.weight *= 0.1
        if isinstance(module, LevelHead):  # as large as a detector's outputs: up to 3
            for prediction in (module.boxes, module.classes, module.landmarks):
                prediction.weight *= 0.4
    return model


@torch.no_grad()
def restate(model: FaceDetector, images: Tensor, seed: int) -> None:
    """Statistics near those of ``images`` but not equal to them, layer by layer.

    Means are off by a third of a deviation, variances by a factor of 0.5 to 2; each layer is
    measured on what the others in front of it then give, so that outputs keep their size.
    """
    generator = torch.Generator().manual_seed(seed)

    def measure(norm: nn.Module, inputs: Any) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
        noise = torch.randn(mean.shape, generator=generator)
        norm.running_mean.copy_(mean + 0.3 * (variance + 0.01).sqrt() * noise)
        noise = torch.rand(mean.shape, generator=generator)
        norm.running_var.copy_((variance + 0.01) * 2 ** (2 * noise - 1))  # also where all is masked

    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(measure) for norm in norms]
    training = model.training
    model.eval()(images)
    model.train(training)
    for handle in handles:
        handle.remove()


@functools.cache
def _network(name: str) -> FaceDetector:
    model = randomise(build_model(arguments(name)), seed=sum(name.encode()))
    restate(model, pixels(0), seed=0)
    return model.eval()


def network(name: str) -> FaceDetector:
    """A network of its own, the same for the same name, in eval mode."""
    return copy.deepcopy(_network(name))


def random_plan(wiring: Wiring, generator: np.random.Generator) -> list[int]:
    """Channels that random rates within the default bounds leave of each variable."""
    spec = PruningSpec(
        rates={n: float(generator.uniform(*b)) for n, b in BOUNDS.items()}, bounds=BOUNDS
    )
    return spec.kept(wiring, spec.rates)


def random_choice(wiring: Wiring, kept: list[int], generator: np.random.Generator) -> np.ndarray:
    """Which channels stay, any of them: ``kept`` of each variable, equally many of each block."""
    chosen = np.zeros(wiring.num_channels, bool)
    for variable, count in zip(wiring.variables, kept, strict=True):
        blocks = wiring.blocks(variable)
        for block in np.split(variable.channels, blocks):
            chosen[generator.permutation(block)[: count // blocks]] = True
    return chosen


def masked(wiring: Wiring, kept: np.ndarray) -> Masks:
    """Masks at work that let ``kept`` through."""
    masks = Masks(wiring).attach()
    masks.values = torch.from_numpy(kept).to(masks.values.dtype)
    return masks


def difference(a: Any, b: Any) -> float:
    """Largest absolute difference between outputs."""
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True))
