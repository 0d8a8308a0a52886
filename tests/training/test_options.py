"""What the options of training do."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest
import torch
import wandb
from stand_in_wandb import stand_in

from src import checkpoint
from src.evaluate import evaluate
from src.models import FaceDetector, featherface_v1
from src.train import train
from src.training import DetectorModule
from src.training.start import lay_out

ONE_EPOCH = [
    "+model.channels=8", "+model.bifpn_repeats=1", "+model.context=conv3x3",
    "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1",
]  # fmt: skip


@pytest.fixture
def steps(monkeypatch):
    """(loss, learning rate, gradient norm) of every optimizer step; the norm is after clipping."""
    found = []
    training_step = DetectorModule.training_step
    losses = []

    def remember_loss(self, batch, batch_idx):
        loss = training_step(self, batch, batch_idx)
        losses.append(loss.item())
        return loss

    def remember_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
        def closure():
            value = optimizer_closure()
            norm = torch.nn.utils.get_total_norm(
                [p.grad for p in self.parameters() if p.grad is not None]
            )
            found.append((losses[-1], optimizer.param_groups[0]["lr"], norm.item()))
            return value

        optimizer.step(closure=closure)

    monkeypatch.setattr(DetectorModule, "training_step", remember_loss)
    monkeypatch.setattr(DetectorModule, "optimizer_step", remember_step)
    return found


def test_bf16_on_the_cpu(configure, tmp_path, steps):
    options = ["trainer.precision=bf16-mixed", "trainer.limit_train_batches=2"]
    train(configure("train", tmp_path, *ONE_EPOCH, *options), tmp_path)
    assert len(steps) == 2
    assert all(math.isfinite(loss) for loss, _, _ in steps)
    saved = checkpoint.read(tmp_path / "checkpoints" / "best.ckpt")["state_dict"]
    assert {value.dtype for value in saved.values()} == {torch.float32, torch.int64}


def test_clipping(configure, tmp_path, monkeypatch):
    norms = []
    clip = DetectorModule.configure_gradient_clipping

    def measured(self, optimizer, *args, **kwargs):
        clip(self, optimizer, *args, **kwargs)
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norms.append(torch.nn.utils.get_total_norm(gradients).item())

    monkeypatch.setattr(DetectorModule, "configure_gradient_clipping", measured)
    train(configure("train", tmp_path, *ONE_EPOCH, "trainer.gradient_clip_val=1"), tmp_path)
    assert norms == pytest.approx([1.0] * 3, abs=1e-3)  # unclipped, the first are above 10


def test_accumulated_batches_count_as_one(configure, tmp_path, steps, caplog):
    options = ["trainer.accumulate_grad_batches=2", "trainer.limit_train_batches=2"]
    options += ["recipe.warmup_steps=0"]
    with caplog.at_level(logging.INFO, logger="src"):
        train(configure("train", tmp_path, *ONE_EPOCH, *options), tmp_path)
    assert "learning rate 0.000125 for 4 images per step" in caplog.text
    assert checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 1
    assert [rate for _, rate, _ in steps] == pytest.approx([1e-3 * 4 / 32])


def test_the_cosine_reaches_its_end(configure, tmp_path, steps):
    options = ["schedule=cosine", "recipe.warmup_steps=1", "scaling.rule=none"]
    train(configure("train", tmp_path, *ONE_EPOCH, *options, "optimizer=sgd"), tmp_path)
    # Warm-up of one step; the second of three steps is the first of the two of the cosine.
    half = 0.01 + 0.99 * 0.5
    assert [rate for _, rate, _ in steps] == pytest.approx([0.5e-3, 1e-3, half * 1e-3])
    last = checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")
    assert last["lr_schedulers"][0]["_last_lr"] == pytest.approx([0.01e-3])
    assert "momentum_buffer" in last["optimizer_states"][0]["state"][0]


def test_the_averaged_weights_are_kept_and_measured(configure, tmp_path):
    folder, alone = tmp_path / "run", tmp_path / "alone"
    options = ["ema=exponential", "ema.callback.decay=0.5"]
    score = train(configure("train", folder, *ONE_EPOCH, *options), folder)
    best = checkpoint.read(folder / "checkpoints" / "best.ckpt")
    averaged, current = best["state_dict"], best["current_model_state"]
    assert any(not torch.equal(averaged[name], current[name]) for name in averaged)
    file = f"checkpoint={folder}/checkpoints/best.ckpt"
    metrics = evaluate(configure("evaluate", alone, file), alone)
    assert metrics["ap"] == pytest.approx(score, abs=1e-9)
    assert json.loads((folder / "metrics.json").read_text())["ap"] == score


@pytest.mark.slow
def test_compiled_networks_have_the_same_weights(configure, tmp_path, monkeypatch):
    compiled = []

    def compile_traced(self):  # the code generator takes minutes and changes no name
        compiled.append(self)
        original(self, backend="aot_eager")

    original = FaceDetector.compile
    monkeypatch.setattr(FaceDetector, "compile", compile_traced)
    options = ["trainer.max_steps=1", "data.num_val_images=1", "model.preset=v1_487103"]
    for name in ("false", "true"):
        folder = tmp_path / name
        train(configure("train", folder, *ONE_EPOCH, *options, f"compile={name}"), folder)
    assert len(compiled) == 1
    plain, traced = (
        checkpoint.read(tmp_path / name / "checkpoints" / "best.ckpt")["state_dict"]
        for name in ("false", "true")
    )
    assert plain.keys() == traced.keys()
    for name, value in plain.items():
        torch.testing.assert_close(traced[name], value, rtol=1e-3, atol=1e-3, msg=name)


def test_wandb_gets_everything(configure, tmp_path, monkeypatch):
    runs = stand_in(monkeypatch)
    for job in (0, 1):
        options = ["logger=wandb", "num_pictures=1", "trainer.log_every_n_steps=1", f"run=job{job}"]
        options += ["trainer.limit_train_batches=1", "trainer.limit_val_batches=1"]
        train(configure("train", tmp_path / str(job), *ONE_EPOCH, *options), tmp_path / str(job))
    first, second = runs
    assert first.finished
    assert second.finished
    assert first.given["name"] == "job0"
    assert first.given["mode"] == "offline"  # without an account
    assert first.given["job_type"] == "train"
    assert Path(first.given["dir"]) == tmp_path / "0"
    assert first.given["config"]["optimizer"]["lr"] == 1e-3
    assert first.logged.keys() >= {
        "train/loss", "train/box", "train/class", "train/landmark", "train/gradient_norm",
        "val/ap_easy", "val/ap_medium", "val/ap_hard", "val/ap",
        "pictures/predictions", "pictures/pr_curves", "trainer/global_step", "final/ap",
    }  # fmt: skip
    (picture,) = first.logged["pictures/predictions"]
    assert isinstance(picture, wandb.Image)
    (made,) = first.made
    assert made.name.endswith("-0-best.ckpt")


def test_a_failed_run_ends_its_wandb_run(configure, tmp_path, monkeypatch):
    runs = stand_in(monkeypatch)
    config = configure("train", tmp_path, "logger=wandb", "optimizer.lr=-1")
    with pytest.raises(ValueError, match="Invalid learning rate"):
        train(config, tmp_path)
    assert [run.finished for run in runs] == [True]


def test_the_layout_follows_the_device():
    def is_channels_last(choice, device):
        model = featherface_v1(channels=8, bifpn_repeats=1, context="conv3x3")
        lay_out(model, choice, torch.device(device))
        weight = next(model.parameters())
        return weight.is_contiguous(memory_format=torch.channels_last)

    assert is_channels_last(None, "cpu")
    assert not is_channels_last(None, "cuda")
    assert is_channels_last(True, "cuda")
    assert not is_channels_last(False, "cpu")


def test_the_layout_changes_no_more_than_the_rounding(configure, tmp_path, steps):
    for choice in ("true", "false"):
        options = [*ONE_EPOCH, "trainer.max_steps=1", "data.num_val_images=1"]
        folder = tmp_path / choice
        train(configure("train", folder, *options, f"channels_last={choice}"), folder)
    (last, _, last_norm), (first, _, first_norm) = steps
    assert last == pytest.approx(first, rel=1e-5)
    assert last_norm == pytest.approx(first_norm, rel=1e-4)
