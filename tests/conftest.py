"""Fixtures of the whole suite: real data when there is some, a small generated tree."""

from __future__ import annotations

import copy
import functools
import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from composing import merge_files_once
from omegaconf import OmegaConf

from src import checkpoint
from src.models import featherface_v1, nano_b

# Tiny networks gain nothing from threads, and tests run side by side.
torch.set_num_threads(1)

merge_files_once()

# What is composed anew reads the same YAML again; parsing it is a quarter of its time.
_load = OmegaConf.load
_load_text = functools.cache(lambda text: _load(io.StringIO(text)))


def _load_once(file: Any) -> Any:
    return copy.deepcopy(_load_text(file.read())) if hasattr(file, "read") else _load(file)


OmegaConf.load = staticmethod(_load_once)

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("FEATHERFACE_SHARED", ROOT.parent / "shared"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip_real = pytest.mark.skip(
        reason=f"no real WIDER FACE files in {SHARED}; set FEATHERFACE_SHARED"
    )
    skip_gpu = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if "real_data" in item.keywords and not SHARED.is_dir():
            item.add_marker(skip_real)
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(skip_gpu)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the real files; ask for it in tests marked ``real_data`` only."""
    return SHARED


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a small network with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.ckpt"
    checkpoint.save(path, featherface_v1(channels=8, bifpn_repeats=1, context="conv3x3"))
    return path


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a small Nano-B, which has filters of every group."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("student") / "student.ckpt"
    checkpoint.save(path, nano_b(channels=16))
    return path
