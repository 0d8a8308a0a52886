"""Training end to end on a tiny generated tree: reproducible, resumable, guarded."""

from __future__ import annotations

import csv
import json

import pytest
import torch

from src import checkpoint
from src.models import featherface_v1
from src.train import train
from src.training import DetectorModule
from src.training.resuming import how_to_resume, resume_from

SMALL = ["+model.channels=8", "+model.bifpn_repeats=1", "+model.context=conv3x3"]
SHORT = ["trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1"]


def weights(folder):
    return checkpoint.read(folder / "checkpoints" / "last.ckpt")["state_dict"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_run_leaves_what_repeats_it(configure, tmp_path):
    score = train(
        configure("train", tmp_path, *SHORT, "num_pictures=2", "trainer.log_every_n_steps=1"),
        tmp_path,
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {"ap_easy", "ap_medium", "ap_hard", "checkpoint"} <= metrics.keys()
    assert metrics["ap"] == score
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["seed"] == 0
    assert run["revision"]
    assert "trainer" in (tmp_path / "config.yaml").read_text()
    assert (tmp_path / "pictures" / "predictions.png").exists()
    assert (tmp_path / "pictures" / "pr_curves.png").exists()
    with (tmp_path / "metrics.csv").open() as stream:
        columns = set(next(csv.reader(stream)))
    assert {"train/loss", "train/box", "train/class", "train/landmark", "val/ap_hard"} <= columns
    model, facts = checkpoint.load(tmp_path / "checkpoints" / "best.ckpt")
    assert facts["metrics"]["ap"] == score
    assert sum(p.numel() for p in model.parameters()) == 489_015


@pytest.mark.slow
def test_same_seed_same_weights(configure, tmp_path):
    for name in "ab":
        train(configure("train", tmp_path / name, *SMALL, *SHORT), tmp_path / name)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    train(configure("train", tmp_path / "c", *SMALL, *SHORT, "seed=1"), tmp_path / "c")
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


@pytest.mark.slow
@pytest.mark.parametrize("ema", ["none", "exponential"])
def test_resumed_equals_uninterrupted(configure, train_until_killed, tmp_path, ema):
    options = [*SMALL, *SHORT, f"ema={ema}", "trainer.max_epochs=3"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(configure("train", whole, *options), whole)

    train_until_killed(configure("train", parts, *options), parts)
    train(configure("train", parts, *options, "resume=true", "run=x"), parts)
    assert same(weights(whole), weights(parts))
    with (parts / "metrics.csv").open() as stream:
        steps = [int(row["step"]) for row in csv.DictReader(stream) if row["val/ap_hard"]]
    assert steps == [2, 5, 8]  # the resumed log goes on, each epoch once


def test_nan_stops_the_run_and_names_the_images(configure, tmp_path, monkeypatch):
    monkeypatch.setattr("src.models.FaceDetector.normalise", lambda self, x: x.float() * torch.nan)
    with pytest.raises(FloatingPointError, match=r"finite loss, got nan .*box=nan.*\.jpg"):
        train(configure("train", tmp_path, *SMALL, *SHORT), tmp_path)
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_nonfinite_gradients_name_the_parameters(configure, tmp_path, monkeypatch):
    def poison(self, optimizer):
        self.model.heads[0].boxes.bias.grad[0] = torch.inf
        original(self, optimizer)

    original = DetectorModule.on_before_optimizer_step
    monkeypatch.setattr(DetectorModule, "on_before_optimizer_step", poison)
    with pytest.raises(
        FloatingPointError, match=r"infinity at step 0 in 1 of .*heads\.0\.boxes\.bias"
    ):
        train(configure("train", tmp_path, *SMALL, *SHORT), tmp_path)


def test_resume_needs_a_run(configure, tmp_path):
    last = tmp_path / "runs" / "new" / "checkpoints" / "last.ckpt"
    old = tmp_path / "runs" / "old" / "checkpoints" / "last.ckpt"
    old.parent.mkdir(parents=True)
    old.touch()
    with pytest.raises(ValueError, match=r"run=NAME beside resume=true.*newest is run=old"):
        resume_from(configure("train", tmp_path, "resume=true"), last)
    with pytest.raises(ValueError, match=r"an empty run folder.*resume=true to continue"):
        resume_from(configure("train", tmp_path), old)
    assert resume_from(configure("train", tmp_path, "resume=true", "run=new"), last) is None
    assert resume_from(configure("train", tmp_path, "resume=true", "run=old"), old) == old


@pytest.mark.slow
def test_a_multirun_is_resumed_by_its_folder(configure, tmp_path):
    options = [*SMALL, *SHORT, "hydra.sweep.dir=some/where"]
    train(configure("train", tmp_path, *options, multirun=True), tmp_path)
    before = weights(tmp_path)
    config = configure("train", tmp_path, *options, "resume=true", multirun=True)
    assert how_to_resume(config) == "resume=true hydra.sweep.dir=some/where"
    train(config, tmp_path)
    assert same(weights(tmp_path), before)


def test_resume_refuses_another_network(configure, tmp_path):
    train(configure("train", tmp_path, "trainer.max_epochs=1"), tmp_path)
    other = configure("train", tmp_path, "model.preset=v1_487103", "resume=true", "run=x")
    with pytest.raises(ValueError, match=r"resume with the model options of that run"):
        train(other, tmp_path)


def test_init_from_another_network_is_refused(configure, tmp_path):
    path = tmp_path / "other.ckpt"
    checkpoint.save(path, featherface_v1("v1_487103"))
    with pytest.raises(ValueError, match=r"in init\.model, got one with preset=v1_487103 \(not"):
        train(configure("train", tmp_path, f"init.model={path}"), tmp_path)


def test_several_devices_in_a_multirun_are_refused(configure, tmp_path):
    config = configure("train", tmp_path, "trainer=ddp", multirun=True)
    with pytest.raises(ValueError, match=r"trainer\.num_nodes=1 inside a multirun, got -1"):
        train(config, tmp_path)
