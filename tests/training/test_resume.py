"""A run that ended anywhere goes on with the images that come next, and ends with equal weights."""

from __future__ import annotations

import pytest
import torch

from src import checkpoint
from src.data.sampling import EpochSampler
from src.train import train
from src.training import DetectorModule
from src.training.position import Position, settle


class Killed(Exception):
    pass


@pytest.fixture
def seen(monkeypatch):
    """(epoch, batch, names) of every training step; ``seen.die_at`` ends a run before that step."""

    class Seen(list):
        die_at = -1

    record, step = Seen(), DetectorModule.training_step

    def watched(self, batch, batch_idx):
        if self.global_step == record.die_at:
            raise Killed
        record.append((self.current_epoch, batch_idx, batch.names))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(DetectorModule, "training_step", watched)
    return record


def weights(folder):
    content = checkpoint.read(folder / "checkpoints" / "last.ckpt")
    return {**content["state_dict"], **content.get("current_model_state", {})}


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


SMALL = ["+model.channels=8", "+model.bifpn_repeats=1", "+model.context=conv3x3"]

# Three steps an epoch. Lightning alone fails all but the first: see src.training.position.
CASES = [
    pytest.param(
        ["trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2"], 4, 3,
        id="epochs", marks=pytest.mark.slow,
    ),
    pytest.param(
        ["trainer.max_epochs=2", "trainer.check_val_every_n_epoch=2", "data.num_workers=2"], 4, 3,
        id="workers", marks=pytest.mark.slow,
    ),
    pytest.param(
        ["trainer.max_epochs=9", "trainer.max_steps=5", "trainer.check_val_every_n_epoch=3"], 4, 3,
        id="steps",
    ),
    pytest.param(
        ["trainer.max_epochs=9", "trainer.max_steps=8", "ema=exponential"], 7, 6,
        id="averaged", marks=pytest.mark.slow,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("options", "die_at", "resumed_at"), CASES)
def test_killed(configure, tmp_path, seen, options, die_at, resumed_at):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = [*SMALL, *options]
    train(configure("train", whole, *options), whole)
    expected = list(seen)
    seen.clear()
    seen.die_at = die_at
    with pytest.raises(Killed):
        train(configure("train", parts, *options), parts)
    assert seen == expected[:die_at]
    seen.clear()
    seen.die_at = -1
    train(configure("train", parts, *options, "resume=true", "run=x"), parts)
    assert seen == expected[resumed_at:]
    assert_same(weights(whole), weights(parts))


@pytest.mark.slow
@pytest.mark.parametrize("end", [3, 4])
def test_a_finished_run_is_prolonged(configure, tmp_path, seen, end):
    options = [
        *SMALL, "trainer.max_epochs=9", "trainer.check_val_every_n_epoch=2", "data.num_workers=2",
    ]  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(configure("train", whole, *options, "trainer.max_steps=6"), whole)
    expected = list(seen)
    seen.clear()
    train(configure("train", parts, *options, f"trainer.max_steps={end}"), parts)
    more = ["trainer.max_steps=6", "resume=true", "run=x"]
    train(configure("train", parts, *options, *more), parts)
    assert seen == expected
    assert_same(weights(whole), weights(parts))
    logs = [(folder / "metrics.csv").read_text().splitlines() for folder in (whole, parts)]
    # The first part was validated at its end, too; that stays.
    (extra,) = [line for line in logs[1] if line not in logs[0]]
    assert extra.split(",")[1] == str(end - 1)
    assert [line for line in logs[1] if line != extra] == logs[0]


def progress(*, epoch, batch, is_last):
    """Counters as Lightning writes them at the end of training in the epoch of this number."""
    epochs = {"ready": epoch + 1, "started": epoch + 1, "processed": epoch + 1, "completed": epoch}
    batches = dict.fromkeys(("ready", "started", "processed", "completed"), batch)
    return {
        "fit_loop": {
            "epoch_progress": {"current": dict(epochs), "total": dict(epochs)},
            "epoch_loop.batch_progress": {"current": batches, "is_last_batch": is_last},
        }
    }


@pytest.mark.parametrize(
    ("written", "position"),
    [
        (progress(epoch=0, batch=3, is_last=True), Position(1, 0)),
        (progress(epoch=6, batch=3, is_last=True), Position(7, 0)),
        (progress(epoch=0, batch=1, is_last=False), Position(0, 1)),
        (progress(epoch=6, batch=2, is_last=False), Position(6, 2)),
    ],
)
def test_the_position_of_a_checkpoint(written, position):
    assert settle(written) == position
    assert not written["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"]
    for counts in written["fit_loop"]["epoch_progress"].values():
        assert counts["processed"] == counts["completed"] == position.epoch
        assert counts["started"] == counts["ready"] == position.epoch + (position.batch > 0)


def test_the_sampler_leaves_out_what_was_seen():
    whole = EpochSampler(7, seed=1, rank=1, world_size=2)
    whole.set_epoch(3)
    rest = EpochSampler(7, seed=1, rank=1, world_size=2, first_epoch=3, skip=2)
    assert list(rest) == list(whole)[2:]  # also before set_epoch: workers do not wait for it
    rest.set_epoch(3)
    assert list(rest) == list(whole)[2:]
    for sampler in (whole, rest):
        sampler.set_epoch(4)
    assert list(rest) == list(whole)
    assert len(rest) == len(whole) == 4  # batches are counted from the start of the epoch


@pytest.mark.slow
def test_what_ends_between_validations_is_measured(configure, tmp_path):
    train(configure("train", tmp_path, "trainer.max_epochs=3", "trainer.max_steps=4"), tmp_path)
    best = checkpoint.read(tmp_path / "checkpoints" / "best.ckpt")
    assert best["featherface"]["metrics"]["ap"] >= 0
    assert best["global_step"] == 4
