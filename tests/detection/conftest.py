"""Batches of random faces, and the slow references."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from src.types import Outputs, Targets


def reference(name: str) -> ModuleType:
    """A module of ``tests/reference/``."""
    path = Path(__file__).parents[1] / "reference" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def slow_matching() -> ModuleType:
    return reference("slow_matching")


@pytest.fixture(scope="session")
def slow_dynamic() -> ModuleType:
    return reference("slow_dynamic")


@pytest.fixture
def make_targets() -> Callable[..., Targets]:
    """``make_targets([3, 0, 2], side=128)``: that many random faces in each image."""

    def make(counts: list[int], side: float = 128, ignored: float = 0.2) -> Targets:
        total = sum(counts)
        size = 6 * (side / 8) ** torch.rand(total, 1) * (0.8 + 0.4 * torch.rand(total, 2))
        low = torch.rand(total, 2) * (side - size).clamp(min=0)
        points = low[:, None] + torch.rand(total, 5, 2) * size[:, None]
        return Targets(
            boxes=torch.cat([low, low + size], dim=1),
            landmarks=points,
            has_landmarks=torch.rand(total) < 0.7,
            ignore=torch.rand(total) < ignored,
            image_index=torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)),
        )

    return make


@pytest.fixture
def make_outputs() -> Callable[[int, int], Outputs]:
    """``make_outputs(images, priors)``: random outputs that want gradients."""

    def make(num_images: int, num_priors: int) -> Outputs:
        return Outputs(
            *(torch.randn(num_images, num_priors, k, requires_grad=True) for k in (4, 2, 10))
        )

    return make
