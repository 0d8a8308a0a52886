"""A sanity check looks at a few images before the training, and leaves nothing behind."""

from __future__ import annotations

import pytest
import torch

from src import checkpoint
from src.train import train

SMALL = [
    "model.preset=v1_487103", "+model.channels=8", "+model.bifpn_repeats=1",
    "+model.cbam_reduction=null", "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=2",
    "num_pictures=2", "data.val_batch_size=1",
]  # fmt: skip


def tensors(value, path=""):
    """Every value of a checkpoint, by its place."""
    if isinstance(value, dict):
        inside = [tensors(each, f"{path}/{name}") for name, each in value.items()]
        return {place: found for each in inside for place, found in each.items()}
    if isinstance(value, (list, tuple)):
        return tensors(dict(enumerate(value)), path)
    return {path: value}


def left_by(folder):
    """What a run left, without the names of its folder and the checksum over them."""
    found = {}
    for name in ("last", "best"):
        content = checkpoint.read(folder / "checkpoints" / f"{name}.ckpt")
        part = {k: v for k, v in content.items() if k not in ("callbacks", "sha256")}
        found |= tensors(part, name)
    found |= {file.name: file.read_bytes() for file in (folder / "pictures").iterdir()}
    return found | {"csv": (folder / "metrics.csv").read_text()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["kd=weighted"],
        ["pruning=soft", "pruning.parameters=0.7"],
        ["kd=weighted", "pruning=soft", "pruning.parameters=0.7", "ema=exponential"],
    ],
    ids=" ".join,
)
def test_nothing_is_left_behind(configure, tmp_path, teacher, options):
    if "kd=weighted" in options:
        options = [*options, f"kd.teacher={teacher}"]
    found = []
    for steps in (0, 1):
        folder = tmp_path / str(steps)
        more = [*SMALL, f"trainer.num_sanity_val_steps={steps}"]
        train(configure("train", folder, *more, *options), folder)
        found.append(left_by(folder))
    without, checked = found
    assert without.keys() == checked.keys()
    different = [
        name for name, value in without.items()
        if not (torch.equal(value, checked[name]) if isinstance(value, torch.Tensor)
                else value == checked[name] or value != value)
    ]  # fmt: skip
    assert different == []


def test_a_checkpoint_before_the_first_validation_has_no_metrics(
    configure, train_until_killed, tmp_path
):
    options = [*SMALL, "trainer.num_sanity_val_steps=1"]
    train_until_killed(configure("train", tmp_path, *options), tmp_path)
    assert checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")["featherface"]["metrics"] == {}
