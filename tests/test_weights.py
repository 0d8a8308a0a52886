"""The networks that come with the project: whole, small, loadable by name."""

from __future__ import annotations

import re

import pytest
import torch

from src import checkpoint
from src.benchmark import load_networks
from src.detector import load_detector
from weights.publish import digest, shipped

CHECKPOINTS = sorted(file.stem for file in checkpoint.WEIGHTS.glob("*.ckpt"))
MEGABYTE = 2**20


def test_sums_are_those_of_the_files():
    lines = (checkpoint.WEIGHTS / "SHA256SUMS").read_text().splitlines()
    assert lines == [f"{digest(file)}  {file.name}" for file in shipped()]


@pytest.mark.parametrize("file", shipped(), ids=lambda file: file.name)
def test_files_are_small(file):
    assert file.stat().st_size < MEGABYTE


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_networks_are_loaded_by_name(name):
    detector = load_detector(name)
    assert sum(p.numel() for p in detector.model.parameters()) <= 180_000
    assert all(torch.isfinite(p).all() for p in detector.model.parameters())


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_networks_are_timed_by_name(name):
    (network,) = load_networks([name], 1, torch.device("cpu"))
    assert network.row["what"] == name
    assert network.row["bytes"] == checkpoint.find(name).stat().st_size


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_card_names_the_network(name):
    card = (checkpoint.WEIGHTS / "README.md").read_text()
    model = checkpoint.load(name).model
    parameters = sum(p.numel() for p in model.parameters())
    assert re.search(rf"`{name}`.*{parameters:,}", card)


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint.find("flagship").parent == checkpoint.WEIGHTS
    (tmp_path / "flagship").touch()
    assert checkpoint.find("flagship").name == "flagship"
    assert checkpoint.find("flagship").parent != checkpoint.WEIGHTS


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(FileNotFoundError, match=r"none at flagshop; .*the project: .*flagship"):
        checkpoint.load("flagshop")
