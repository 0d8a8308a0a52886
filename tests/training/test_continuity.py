"""A run goes on as the run that it was, or says what is different."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from omegaconf import OmegaConf

from src.data.fingerprint import data_fingerprint
from src.runs import locks
from src.train import train
from src.training.continuity import changes

ONE_STEP = ["+model.channels=8", "+model.bifpn_repeats=1", "+model.context=conv3x3",
            "trainer.max_steps=1"]  # fmt: skip


@pytest.fixture
def begun(configure, tmp_path):
    """The folder of a run of which nothing but the record is there, and how it was configured."""

    def compose(*overrides):
        return configure("train", tmp_path, "run=x", "resume=true", *overrides)

    OmegaConf.save(compose(), tmp_path / "composed.yaml")
    (tmp_path / "run.json").write_text(json.dumps({"data": "a" * 64}))
    return tmp_path, compose


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("seed=3", "seed: 0, now 3"),
        ("data.batch_size=1", "data.batch_size: 2, now 1"),
        ("data.image_size=96", r"data.image_size: \d+, now 96"),
        ("data.num_held_out=1", "data.num_held_out: 0, now 1"),
        ("loss.weights.box=3", r"loss.weights.box: 2(\.0)?, now 3"),
        ("augmentation=none", "augmentation"),
        ("ema=exponential", "ema"),
        ("trainer.precision=bf16-mixed", "trainer.precision"),
        ("optimizer.lr=1", r"optimizer.lr: 0\.\d+, now 1"),
        ("optimizer=sgd", "optimizer"),
        ("recipe.epochs=1", r"recipe.epochs: \d+, now 1"),
        ("schedule=cosine", "schedule"),
    ],
)
def test_other_settings_are_refused(begun, override, named):
    folder, compose = begun
    with pytest.raises(ValueError, match=rf"^expected the settings with which .*{named}"):
        changes(folder, compose(override), "a" * 64, anyway=[])


@pytest.mark.parametrize(
    "override",
    ["data.num_workers=2", "logger=csv", "trainer.devices=2", "recipe.epochs=1000", "run=y",
     "num_pictures=1"],
)  # fmt: skip
def test_what_may_differ(begun, override):
    folder, compose = begun
    found = changes(folder, compose(override), "a" * 64, anyway=[])
    assert set(found) <= {"recipe.epochs"}


def test_epochs_do_not_become_fewer(begun):
    folder, compose = begun
    fewer = compose().recipe.epochs - 1
    with pytest.raises(ValueError, match=rf"recipe\.epochs: {fewer + 1}, now {fewer}"):
        changes(folder, compose(f"recipe.epochs={fewer}"), "a" * 64, anyway=[])


def test_other_images_are_refused_but_for_those_who_know(begun):
    folder, compose = begun
    with pytest.raises(ValueError, match=r"images or labels: a{12}, now b.*resume_anyway=\[data\]"):
        changes(folder, compose(), "b" * 64, anyway=[])
    assert changes(folder, compose(), "b" * 64, anyway=["data"]) == {
        "images or labels": ["a" * 64, "b" * 64]
    }


def test_what_the_checkpoint_holds_cannot_be_changed(begun):
    folder, compose = begun
    with pytest.raises(ValueError, match="give it those, or start another run with run=NAME"):
        changes(folder, compose("optimizer.lr=1"), "a" * 64, anyway=["optimizer"])


@pytest.mark.parametrize("name", ["composed.yaml", "run.json"])
@pytest.mark.parametrize("content", [None, "{", "[]", "\x00"])
def test_a_lost_record_is_one_sentence(begun, name, content):
    folder, compose = begun
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(ValueError, match=rf"^expected the .* in .*{name}, got"):
        changes(folder, compose(), "a" * 64, anyway=[])


def test_a_changed_label_stops_a_run_and_is_recorded_when_it_goes_on(configure, tmp_path):
    root, folder = tmp_path / "data", tmp_path / "run"

    def go(*overrides):
        train(configure("train", folder, *ONE_STEP, f"data.root={root}", *overrides), folder)

    go()
    before = (folder / "run.json").read_text()
    again = ["resume=true", "run=x", "trainer.max_steps=2"]
    label = root / "train" / "label.txt"
    label.write_text(label.read_text() + "\n")
    with pytest.raises(ValueError, match="images or labels"):
        go(*again)
    assert (folder / "run.json").read_text() == before
    go(*again, "resume_anyway=[data]")
    (change,) = json.loads((folder / "run.json").read_text())["changed"]
    assert change["step"] == 1
    assert set(change["settings"]) == {"images or labels", "trainer.max_steps"}
    go(*again[:-1], "trainer.max_steps=3")
    assert len(json.loads((folder / "run.json").read_text())["changed"]) == 2


def test_two_trainings_in_one_folder_are_refused(configure, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with (
        locks.only_one_in(tmp_path, "training"),
        pytest.raises(ValueError, match=r"expected no other process in .*got one at work"),
    ):
        train(configure("train", tmp_path, *ONE_STEP), tmp_path)
    assert not (tmp_path / "run.json").exists()


def test_a_fingerprint_is_of_names_sizes_and_labels(tmp_path):
    (tmp_path / "train").mkdir()
    image, label = tmp_path / "train" / "a.jpg", tmp_path / "train" / "label.txt"
    image.write_bytes(b"123")
    label.write_text("# a.jpg\n")
    found = [data_fingerprint(tmp_path)]
    (tmp_path / "notes.log").write_text("of no meaning")
    assert data_fingerprint(tmp_path) == found[0]
    label.write_text("# a.jpg\n0 0 9 9\n")
    found.append(data_fingerprint(tmp_path))
    image.write_bytes(b"1234")
    found.append(data_fingerprint(tmp_path))
    image.rename(tmp_path / "train" / "b.jpg")
    found.append(data_fingerprint(tmp_path))
    assert len(set(found)) == 4
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "train" / "again").symlink_to(tmp_path)
    (tmp_path / "lost.txt").symlink_to(tmp_path / "nowhere")
    assert data_fingerprint(tmp_path) == found[-1]  # without waiting or going round
    for name in ("pipe.txt", "train/again", "lost.txt"):
        (tmp_path / name).unlink()
    moved = tmp_path.with_name("moved")
    shutil.copytree(tmp_path, moved)
    assert data_fingerprint(moved) == found[-1]
