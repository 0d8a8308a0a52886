"""Which teacher a run finds among the run folders."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from src.runs.teachers import TeacherSearch


@pytest.fixture
def make_run(tmp_path):
    """``make_run("train/a", age=1)``: a run folder below tmp_path/outputs."""

    def make(name, *, model="featherface_v1", root="data", finished=True, age=0, soft=False, **kd):
        folder = tmp_path / "outputs" / name
        (folder / "checkpoints").mkdir(parents=True)
        config = {"model": {"name": model}, "data": {"root": str(root)}, "kd": kd}
        config["pruning"] = {"_target_": "src.pruning.SoftPruningSpec"} if soft else None
        (folder / "config.yaml").write_text(json.dumps(config))
        (folder / "checkpoints" / "best.ckpt").touch()
        if finished:
            (folder / "metrics.json").write_text("{}")
            os.utime(folder / "metrics.json", (1e9 - age, 1e9 - age))
        return folder

    return make


@pytest.fixture
def search(tmp_path):
    return TeacherSearch(
        outputs=str(tmp_path / "outputs"),
        run_folder=str(tmp_path / "outputs" / "train" / "student"),
        data_root="data",
        command="python -m src.train run=teacher",
    )


def test_newest_finished_teacher_of_the_data_is_found(make_run, search):
    make_run("train/old", age=9)
    newest = make_run("multirun/2026/3", model="featherface_v2", age=1)
    make_run("train/other_data", root="elsewhere")
    make_run("train/student_net", model="nano_b")
    make_run("train/running", finished=False)
    make_run("train/distilled", _target_="src.training.distillation_objective")
    make_run("train/pruned", soft=True)
    for number, content in enumerate([b"{", b"\xff\xfe", b"data: {root: 5}\nmodel: 3"]):
        damaged = make_run(f"train/damaged{number}")
        (damaged / "config.yaml").write_bytes(content)
    assert search.find() == newest / "checkpoints" / "best.ckpt"


def test_same_data_by_another_spelling(make_run, search, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_run("train/a", root=tmp_path / "data")
    assert search.find() == run / "checkpoints" / "best.ckpt"


def test_jobs_of_a_multirun_have_one_teacher(make_run, search, tmp_path):
    first = make_run("train/first", age=9)
    job = dataclasses.replace(search, run_folder=str(tmp_path / "outputs" / "multirun" / "x" / "1"))
    trained_by_the_sweep = make_run("multirun/x/0", age=1)
    (tmp_path / "outputs" / "multirun" / "x" / "multirun.yaml").touch()
    assert job.find() == first / "checkpoints" / "best.ckpt"
    # An earlier job found another one: the later follow it, if they look for the same.
    newer = make_run("train/newer") / "checkpoints" / "best.ckpt"
    assert job.find() == newer
    old = first / "checkpoints" / "best.ckpt"
    record = {"teacher": {"path": str(old), "sha256": "0"}}
    (trained_by_the_sweep / "run.json").write_text(json.dumps(record))
    assert job.find() == old
    for config in (
        {"data": {"root": "elsewhere"}},
        {"data": {"root": "data"}, "kd": {"teacher": "x"}},
    ):
        (trained_by_the_sweep / "config.yaml").write_text(json.dumps(config))
        assert job.find() == newer


def test_a_resumed_run_asks_for_its_teacher(make_run, search, tmp_path):
    make_run("train/newer")
    student = make_run("train/student", model="nano_b", finished=False)
    gone = tmp_path / "gone.ckpt"
    (student / "run.json").write_text(json.dumps({"teacher": {"path": str(gone)}}))
    (student / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(FileNotFoundError, match=r"that .*student began with in .*gone\.ckpt"):
        search.find()
    gone.touch()
    assert search.find() == gone


def test_without_a_teacher_the_command_is_named(search, make_run):
    make_run("train/other_data", root="elsewhere")
    message = "expected a trained teacher .* of data below .*train one with 'python -m src.train "
    with pytest.raises(FileNotFoundError, match=message):
        search.find()


@pytest.mark.parametrize("content", ["{", "[]", '{"teacher": 3}', '{"teacher": {}}', "\udcff"])
def test_a_damaged_record_is_named(make_run, search, content):
    student = make_run("train/student", model="nano_b", finished=False)
    (student / "run.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=rf"record of a run in {student}/run\.json, got '.*kd\.t"):
        search.find()
