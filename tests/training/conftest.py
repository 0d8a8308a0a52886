"""A tiny generated tree and composed configurations."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from composing import TINY_DATA, compose_run, forget_run
from omegaconf import DictConfig
from torch import Tensor

from src import checkpoint
from src.models import featherface_v1
from src.train import train
from src.training import DetectorModule
from src.types import Batch

TINY = [
    *TINY_DATA,
    "data.image_size=64",
    "data.batch_size=2",
    "trainer.accelerator=cpu",
    "logger=csv",
    "num_pictures=0",
]


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny tree of all these tests is generated, once."""
    return tmp_path_factory.mktemp("data") / "tiny"


@pytest.fixture
def configure(tiny_root: Path) -> Iterator[Callable[..., DictConfig]]:
    """``configure("train", folder, "a=1")``: the configuration that command line gives."""

    def make(name: str, folder: Path, *overrides: str, multirun: bool = False) -> DictConfig:
        tiny = {
            "train": TINY,
            "evaluate": [*TINY_DATA, "trainer.accelerator=cpu", "num_pictures=0"],
        }
        given = [*tiny[name], f"data.root={tiny_root}"] if name in tiny else []
        return compose_run(name, folder, *given, *overrides, multirun=multirun)

    yield make
    forget_run()


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a small network with random weights, wider than the students of the tests."""
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("teacher") / "teacher.ckpt"
    checkpoint.save(path, featherface_v1(channels=12, bifpn_repeats=1, context="conv3x3"))
    return path


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, str]]]:
    """``rows(folder)``: the lines of the ``metrics.csv`` of a run."""

    def read(folder: Path) -> list[dict[str, str]]:
        with (folder / "metrics.csv").open() as stream:
            return list(csv.DictReader(stream))

    return read


class Killed(Exception):
    """Ends a run in the middle."""


@pytest.fixture
def train_until_killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[DictConfig, Path], None]:
    """``train_until_killed(config, folder)``: as ``train``, dead in the middle of epoch 1."""

    def killed(config: DictConfig, folder: Path) -> None:
        def die(self: DetectorModule, batch: Batch, batch_idx: int) -> Tensor:
            if self.current_epoch == 1 and batch_idx == 1:
                raise Killed
            return original(self, batch, batch_idx)

        original = DetectorModule.training_step
        with monkeypatch.context() as patch:
            patch.setattr(DetectorModule, "training_step", die)
            with pytest.raises(Killed):
                train(config, folder)

    return killed
