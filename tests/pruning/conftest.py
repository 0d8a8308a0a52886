"""Small things of the pruning tests; networks are in random_networks.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from src.models import FaceDetector, featherface_v1
from src.models.channels import GROUPS
from src.pruning import PruningSpec, SoftPruningSpec


@pytest.fixture
def small() -> FaceDetector:
    """A network that is quick to run: no deformable convolutions, no attention."""
    return featherface_v1("v1_487103", channels=16, bifpn_repeats=1, cbam_reduction=None).eval()


@pytest.fixture
def make_spec() -> Callable[..., PruningSpec]:
    """``make_spec(ssh=0.5)``: rates from 0 to 0.9 of some groups; nothing of the others."""

    def make(*, kind: type[PruningSpec] = PruningSpec, settings=None, **rates) -> PruningSpec:
        return kind(
            rates={name: rates.get(name, 0.0) for name in GROUPS},
            bounds={name: [0.0, 0.9] for name in GROUPS},
            **(settings or {}),
        )

    return make


@pytest.fixture
def make_soft_spec(make_spec) -> Callable[..., SoftPruningSpec]:
    """As ``make_spec``, with ``settings`` of soft pruning."""

    def make(**options) -> SoftPruningSpec:
        return make_spec(kind=SoftPruningSpec, **options)

    return make
