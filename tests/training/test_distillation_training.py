"""Students trained with a teacher: found, logged, resumed, absent from the checkpoint."""

from __future__ import annotations

import json
import re

import pytest
import torch
from hydra.utils import instantiate

from src import checkpoint
from src.comparison.grouping import group_runs
from src.models import featherface_v1
from src.runs.read import read_runs
from src.train import train

SMALL = ["+model.channels=8", "+model.bifpn_repeats=1", "+model.context=conv3x3"]
SHORT = [*SMALL, "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1"]


def slow(*values):
    """A case of many, of which others are in the fast tests."""
    return pytest.param(*values, marks=pytest.mark.slow)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def state(folder):
    return checkpoint.read(folder / "checkpoints" / "last.ckpt")["state_dict"]


@pytest.mark.parametrize("kd", [slow("fixed"), slow("weighted"), "feature"])
def test_a_student_is_trained_beside_its_teacher(configure, tmp_path, teacher, kd, caplog, rows):
    options = [*SHORT, f"kd={kd}", f"kd.teacher={teacher}"]
    with caplog.at_level("INFO"):
        train(configure("train", tmp_path, *options), tmp_path)
    assert f"teacher: {teacher}" in caplog.text
    found = rows(tmp_path)
    validations = [row for row in found if row["val/ap"]]
    assert len(validations) == 2
    for row in validations:
        for name in ("ap", "ap_easy", "ap_medium", "ap_hard"):
            ours, theirs = float(row[f"val/{name}"]), float(row[f"val/teacher_{name}"])
            assert float(row[f"val/gap_{name}"]) == pytest.approx(theirs - ours, abs=1e-6)
    learned = kd != "fixed"
    steps = [row for row in found if row.get("train/kd_weight_landmark")]
    assert [int(row["step"]) for row in steps] == ([*range(6)] if learned else [])
    assert any(float(row["train/kd_weight_landmark"]) != 0.5 for row in steps) == learned
    assert ("train/kd_feature" in found[0]) == (kd == "feature")
    content = checkpoint.read(tmp_path / "checkpoints" / "best.ckpt")
    assert content["featherface"]["teacher"]["path"] == str(teacher)
    assert not any("teacher" in name for name in content["state_dict"])
    model = checkpoint.load(tmp_path / "checkpoints" / "best.ckpt").model
    assert model.config["channels"] == 8
    assert json.loads((tmp_path / "run.json").read_text())["parameters"] == sum(
        p.numel() for p in model.parameters()
    )


def test_learning_rates_of_the_groups(configure, tmp_path, teacher):
    options = [*SHORT, "kd=feature", f"kd.teacher={teacher}", "scaling.rule=none"]
    train(configure("train", tmp_path, *options, "recipe.warmup_steps=0"), tmp_path)
    groups = checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")["optimizer_states"][0]
    network, weights, adapters = groups["param_groups"]
    assert weights["initial_lr"] == pytest.approx(10 * network["initial_lr"])
    assert adapters["initial_lr"] == network["initial_lr"] == 1e-3
    assert weights["weight_decay"] == 0.0
    assert adapters["weight_decay"] == network["weight_decay"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("options", [["kd=feature"], ["kd=weighted", "ema=exponential"]])
def test_resumed_equals_uninterrupted(
    configure, train_until_killed, tmp_path, teacher, options, rows
):
    options = [*SHORT, f"kd.teacher={teacher}", "trainer.max_epochs=3", *options]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(configure("train", whole, *options), whole)

    train_until_killed(configure("train", parts, *options), parts)
    # The teacher's AP comes from the checkpoint: it is measured once in the life of a run.
    again = [o for o in options if not o.startswith("kd.teacher")]
    train(configure("train", parts, *again, "resume=true", "run=x"), parts)
    assert same(state(whole), state(parts))
    assert state(parts)["objective.balance.theta"].any()
    assert [r["val/teacher_ap"] for r in rows(whole)] == [r["val/teacher_ap"] for r in rows(parts)]


def test_another_teacher_cannot_resume(configure, tmp_path, teacher):
    options = [*SHORT, "kd=weighted"]
    train(configure("train", tmp_path, *options, f"kd.teacher={teacher}"), tmp_path)
    other = tmp_path / "other.ckpt"
    torch.manual_seed(8)
    checkpoint.save(other, featherface_v1(channels=12, bifpn_repeats=1))
    again = [f"kd.teacher={other}", "trainer.max_epochs=3", "resume=true", "run=x"]
    with pytest.raises(ValueError, match=f"teacher this run began with.*{teacher}.*got other"):
        train(configure("train", tmp_path, *options, *again), tmp_path)


@pytest.mark.parametrize(
    ("begun", "resumed", "message"),
    [
        slow("kd=weighted", "kd=none", r"got one with kd; resume with the kd"),
        slow("kd=none", "kd=weighted", r"got one without kd; resume with the kd"),
        slow("kd=weighted", "kd=fixed", r"got one with balance=learned \(not fixed\)"),
        slow("kd=weighted", "kd=feature", r"got one with features=None \(not 0\.25\)"),
        ("kd=weighted", "kd=weighted kd.alpha=0.2", r"got one with alpha=0\.7 \(not 0\.2\)"),
    ],
)
def test_another_objective_cannot_resume(configure, tmp_path, teacher, begun, resumed, message):
    options = [*SMALL, f"kd.teacher={teacher}", "trainer.max_steps=1"]
    train(configure("train", tmp_path, *options, begun), tmp_path)
    before = (tmp_path / "run.json").read_text()
    again = [*options, *resumed.split(), "resume=true", "run=x"]
    with pytest.raises(ValueError, match=message):
        train(configure("train", tmp_path, *again), tmp_path)
    assert (tmp_path / "run.json").read_text() == before


def test_a_teacher_without_use_is_pointed_out(configure, tmp_path, teacher, caplog):
    options = [*SMALL, f"kd.teacher={teacher}", "trainer.max_steps=1"]
    train(configure("train", tmp_path, *options), tmp_path)
    assert "kd.teacher has no effect with kd=none" in caplog.text


def test_the_teacher_is_on_record(configure, tmp_path, teacher):
    options = [*SMALL, "kd=fixed", f"kd.teacher={teacher}", "trainer.max_steps=1"]
    train(configure("train", tmp_path, *options), tmp_path)
    recorded = json.loads((tmp_path / "run.json").read_text())["teacher"]
    assert recorded["path"] == str(teacher)
    assert len(recorded["sha256"]) == 64


@pytest.mark.slow
def test_seeds_of_a_student_are_one_setting(configure, tmp_path, teacher):
    for number, options in enumerate(["kd=none seed=0", "kd=none seed=1", "kd=weighted seed=0",
                                      "kd=weighted seed=1"]):  # fmt: skip
        given = [*SMALL, f"kd.teacher={teacher}", "trainer.max_steps=1", *options.split()]
        folder = tmp_path / str(number)
        train(configure("train", folder, *given, multirun=True), folder)
    grouping = group_runs(read_runs([tmp_path])[0])
    assert [(s.parts["kd"], s.seeds) for s in grouping.settings] == [
        ("none", [0, 1]), ("weighted", [0, 1]),
    ]  # fmt: skip
    assert grouping.untyped == []


def test_unpaired_student_is_refused_before_anything_is_written(configure, tmp_path, teacher):
    options = ["kd=weighted", f"kd.teacher={teacher}", "model.prior_sizes=[[9,8],[7,6],[5,4]]"]
    with pytest.raises(Exception, match=r"contain those of the teacher.*9, 8.*model\.prior_sizes"):
        train(configure("train", tmp_path, *SMALL, *options), tmp_path)
    assert not (tmp_path / "checkpoints").exists()


def test_command_in_the_configuration_trains_that_data(configure, tmp_path):
    config = configure("train", tmp_path, "kd=weighted", "data=demo", "data.root=some/where")
    assert config.kd.search.command == (
        "python -m src.train data=demo data.root=some/where run=teacher"
    )
    assert config.kd.search.data_root == "some/where"
    assert re.fullmatch(r"\S+", config.kd.search.run_folder)


@pytest.mark.slow
@pytest.mark.parametrize("kd", ["cached", "labels"])
def test_labels_improved_by_the_teacher(kd, configure, tmp_path, teacher, monkeypatch, caplog):
    """Found once, before the training; those validated on or set aside stay as they are."""
    caplog.set_level("INFO")
    monkeypatch.chdir(tmp_path)
    options = [*SMALL, f"kd={kd}", f"kd.teacher={teacher}", "trainer.max_steps=1"]
    options += ["data.improvement.scales=[1,1.5]", "data.improvement.rules.unlabelled=0.1"]
    options += ["data.num_held_out=2"]
    train(configure("train", tmp_path / "run", *options), tmp_path / "run")
    (file,) = (tmp_path / "outputs" / "cache").iterdir()
    assert file.suffix == ".npz"
    datamodule = instantiate(configure("train", tmp_path, *options).data, _convert_="all")
    datamodule.setup("fit")
    plain, aside = datamodule._train_parts()
    improved = datamodule.train_annotations
    assert caplog.text.count("looking for faces") == 1
    assert caplog.text.count(f"labels improved by {teacher}: ") == 2
    assert [each.name for each in improved] == [each.name for each in plain]
    numbers = [[len(each.faces.boxes) for each in part] for part in (improved, plain)]
    assert sum(numbers[0]) > sum(numbers[1])
    assert datamodule.held_out_annotations == aside


def test_labels_need_a_named_teacher(configure, tmp_path):
    data = configure("train", tmp_path, *SMALL, "kd=labels").data
    with pytest.raises(Exception, match=r"expected a teacher .*; set kd\.teacher=FILE"):
        instantiate(data, _convert_="all")
