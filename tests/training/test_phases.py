"""Trainings in phases: what each changes, what it begins with, and how a killed one goes on."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from composing import TINY_DATA, composed

from src import checkpoint
from src import train as train_module
from src.cli.settings import check_types
from src.train import train
from src.training.phases import phases_of

TINY = [
    *TINY_DATA, "trainer=cpu", "logger=csv", "num_pictures=0", "data.image_size=64",
    "data.batch_size=3", "model.preset=v1_487103", "+model.channels=8", "+model.bifpn_repeats=1",
    "recipe.epochs=1", "recipe.validate_every=1", "trainer.log_every_n_steps=1", "run=x",
]  # fmt: skip
TWO = (
    "recipe.phases=[{optimizer.lr: 1e-3},"
    "{data.image_size: 96, data.batch_size: 2, assigner: dynamic}]"
)


def phases(folder, *options):
    with composed("train", folder, *TINY, *options) as config:
        check_types(config)
        return phases_of(config, folder)


def test_a_training_is_one_phase_unless_asked(tmp_path):
    assert phases(tmp_path) == []


def test_each_phase_is_what_was_typed_and_what_it_changes(tmp_path):
    first, second = phases(tmp_path, TWO, "seed=3", "optimizer.lr=5e-2")
    assert (first.config.optimizer.lr, second.config.optimizer.lr) == (1e-3, 5e-2)
    assert (first.config.data.image_size, second.config.data.image_size) == (64, 96)
    assert first.config.seed == second.config.seed == 3
    assert first.config.assigner._target_.endswith("MaxIoUAssigner")
    assert second.config.assigner._target_.endswith("DynamicAssigner")
    assert first.config.init.model is None
    assert second.config.init.model == str(first.folder / "checkpoints" / "best.ckpt")
    assert second.config.model._target_ == "src.checkpoint.architecture"
    assert second.config.run_dir == str(second.folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["recipe.phases=[a]"], r"expected recipe\.phases as tables of settings, .*; got \['a'\]"),
        (["recipe.phases=[{assigner: best}]"], r"in recipe\.phases, got others: .*assigner/best"),
        (
            ["recipe.phases=[{data.image_sze: 9}]"],
            r"in recipe\.phases, got others: .*data\.image_sze",
        ),
        (["recipe.phases=[{data.image_size: abc}]"], r"expected data\.image_size to be"),
        (["recipe.phases=[{seed: 1}]", "pruning=soft"], r"without phases to prune along, got"),
    ],
)
def test_phases_that_cannot_be_are_refused_before_any_work(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        phases(tmp_path, *options)


@pytest.mark.slow
def test_a_killed_run_goes_on_in_its_phase(tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = [*TINY, TWO, f"data.root={tmp_path / 'tree'}"]
    with composed("train", whole, *options) as config:
        train(config, whole)
    real = train_module.train_phase

    def until_the_second(config, folder):
        if folder.name == "2":
            raise KeyboardInterrupt
        return real(config, folder)

    with composed("train", killed, *options) as config, monkeypatch.context() as patch:
        patch.setattr(train_module, "train_phase", until_the_second)
        with pytest.raises(KeyboardInterrupt):
            train(config, killed)
    message = r"expected an empty run folder.*resume=true"
    with composed("train", killed, *options) as config, pytest.raises(ValueError, match=message):
        train(config, killed)
    with composed("train", killed, *options, "resume=true") as config:
        ap = train(config, killed)
    files = [folder / "checkpoints" / "best.ckpt" for folder in (whole, killed)]
    one, other = (checkpoint.load(file).model.state_dict() for file in files)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert json.loads((killed / "metrics.json").read_text())["ap"] == ap
    with (whole / "metrics.csv").open() as stream:
        steps = [int(row["step"]) for row in csv.DictReader(stream)]
    assert max(steps) == 2 + 3 - 1  # 6 images in batches of 3, then of 2
    assert steps == sorted(steps)
