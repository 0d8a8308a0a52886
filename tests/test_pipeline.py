"""One command for the whole: what it runs, keeps, repeats, and says at its end."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from composing import complaint_of, composed

from src import checkpoint
from src.pipeline import pipeline
from src.runs import locks
from src.stages import chain
from src.stages.process import StageFailed

NAMES = ["teacher", "distil", "search", "finetune", "measure", "predict", "export", "validate"]


@pytest.fixture
def ran(monkeypatch):
    """Commands that were run, as they were typed; each leaves the file that it is asked for."""
    commands: list[tuple[str, list[str]]] = []

    def run_command(command, arguments, say):
        commands.append((command, arguments))
        places = ("hydra.run.dir=", "hydra.sweep.dir=")
        (place,) = [word for word in arguments if word.startswith(places)]
        folder = Path(json.loads(place.partition("=")[2]))
        say("[2026-01-01 00:00:00,000][src.train][INFO] - at work")
        if command == "measure":
            files = json.loads(next(a for a in arguments if "checkpoints=" in a).partition("=")[2])
            rows = [
                {
                    "name": Path(file).parts[-3],
                    "checkpoint": file,
                    "parameters": 300_000 - 70_000 * number,
                    "multiply_adds": 10**8,
                    "median": 0.01,
                    "metrics": {"ap": 0.6 - 0.01 * number},
                }
                for number, file in enumerate(files)
            ]
            (folder / "measure.json").write_text(json.dumps({"networks": rows}))
            return
        names = {
            "sweep_pruning": "best.yaml",
            "predict": "predictions.json",
            "export": "best.onnx",
            "validate": "validate.json",
        }
        name = names.get(command, "checkpoints/best.ckpt")
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(
            "# @package _global_\npruning: {multiple: 4}\n" if command == "sweep_pruning" else "x"
        )

    monkeypatch.setattr(chain, "run_command", run_command)
    return commands


def run(folder, *overrides):
    with composed("pipeline", folder, *overrides) as config:
        return pipeline(config, folder)


def test_everything_once(tmp_path, ran, caplog):
    caplog.set_level("INFO")
    summary = run(tmp_path)
    assert [stage["name"] for stage in summary["stages"]] == NAMES
    assert [command for command, _ in ran] == [
        "train", "train", "sweep_pruning", "train", "measure", "predict", "export", "validate",
    ]  # fmt: skip
    assert [goal["met"] for goal in summary["goals"]] == [True, True]
    assert summary == json.loads((tmp_path / "pipeline.json").read_text())
    assert "[3/8] search: at work" in caplog.text  # without a second time and name
    page = (tmp_path / "page.html").read_text()
    for text in ("160,000", "Parameters: met", *NAMES):
        assert text in page

    ran.clear()
    run(tmp_path)
    assert not ran


def test_what_changed_is_repeated_with_what_follows_from_it(tmp_path, ran):
    run(tmp_path)
    ran.clear()
    run(tmp_path, "options={measure: {rounds: 3}}")
    assert [command for command, _ in ran] == ["measure"]
    assert (tmp_path / "measure.before1" / "measure.json").exists()

    (tmp_path / "distil" / "checkpoints" / "best.ckpt").write_text("trained elsewhere")
    ran.clear()
    run(tmp_path, "options={measure: {rounds: 3}}")
    assert ran[0][0] == "train"  # the file is not what the stage wrote


def test_a_verdict_is_of_the_networks_that_are_there(tmp_path, ran):
    assert run(tmp_path)["goals"]
    summary = run(tmp_path, "options={distil: {seed: 7}}", "stages=[distil]")
    assert [stage["name"] for stage in summary["stages"] if stage["seconds"] is not None] == [
        "teacher",
        "distil",
        "search",
        "finetune",
        "measure",
        "predict",
        "export",
        "validate",
    ]  # fmt: skip - the stand-in wrote the same network again
    (tmp_path / "distil" / "checkpoints" / "best.ckpt").write_text("another network")
    summary = run(tmp_path, "options={distil: {seed: 7}}", "stages=[teacher]")
    done = [stage["name"] for stage in summary["stages"] if stage["seconds"] is not None]
    assert done == ["teacher"]
    assert not summary["goals"]
    assert "160,000" not in (tmp_path / "page.html").read_text()


def test_a_stopped_stage_goes_on(tmp_path, ran, monkeypatch):
    def fails(command, arguments, say):
        raise StageFailed("no space left")

    whole = chain.run_command
    monkeypatch.setattr(chain, "run_command", fails)
    sentence = complaint_of(pipeline, "pipeline", tmp_path)
    assert sentence.startswith("stage teacher stopped: no space left")
    monkeypatch.setattr(chain, "run_command", whole)
    run(tmp_path, "stages=[teacher]")
    assert not (tmp_path / "teacher.before1").exists()


def test_dry_run(tmp_path, ran, caplog):
    caplog.set_level("INFO")
    run(tmp_path, "stages=[teacher]")
    ran.clear()
    run(tmp_path, "dry_run=true")
    assert not ran
    said = [line.split() for line in caplog.messages[-8:]]
    assert [(name, verb) for name, verb, *_ in said] == [
        ("teacher", "stays"), *((name, "runs") for name in NAMES[1:])
    ]  # fmt: skip
    assert not (tmp_path / "distil").exists()


def test_a_given_teacher_is_not_trained(tmp_path, ran):
    file = tmp_path / "v1.pth"
    file.write_text("weights")
    run(tmp_path / "run", f"teacher={file}", "stages=[distil]")
    ((command, arguments),) = ran
    assert command == "train"
    assert f'kd.teacher="{file}"' in arguments


@pytest.mark.parametrize("name", ["demo", "cpu", "full"])
def test_every_plan_composes(tmp_path, ran, name):
    run(tmp_path, f"pipeline={name}", "dry_run=true")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["stages=[serch]"], "expected stages among teacher, distil, search"),
        (["stages=[measure]"], "expected the result of stage teacher in"),
        (["plan.search.command=sweep"], "expected plan.search.command among benchmark, check_data"),
        (["plan.search.result=null"], "expected text as plan.search.result, got None"),
        (["+plan.new=3"], "expected text as plan.new.command, got 3"),
        (["+plan.search.x=3"], "expected plan.search with command, options, result; got also 'x'"),
        (["teacher=nowhere.ckpt"], "expected a file as teacher=, got nowhere.ckpt"),
        (["options={distl: {seed: 1}}"], "expected options of a stage among teacher, distil"),
        (["options={distil: {recipe.epoch: 1}}"], "expected settings of python -m src.train in"),
        (["target.parameters=many"], "expected target.parameters to be a whole number"),
    ],
)
def test_mistakes_are_told_before_anything_runs(tmp_path, ran, overrides, sentence):
    assert complaint_of(pipeline, "pipeline", tmp_path / "run", *overrides).startswith(sentence)
    assert not ran


def test_two_at_once_are_refused(tmp_path, ran, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    monkeypatch.setattr(
        chain, "run_command", lambda *_: pytest.fail(complaint_of(pipeline, "pipeline", tmp_path))
    )
    with pytest.raises(pytest.fail.Exception, match="got one at work"):
        run(tmp_path)


TINY = [
    "name=tiny", "stages=[teacher,distil,search,finetune]",
    "dataset={data.root: DATA, data.generator.num_train: 16, data.generator.num_val: 4, "
    "data.generator.size: 96, data.image_size: 64, data.val_long_side: 96, data.num_workers: 0}",
    "options={teacher: {recipe.epochs: 2, recipe.warmup_steps: 0, recipe.validate_every: 2}, "
    "distil: {recipe.epochs: 2, recipe.warmup_steps: 0, recipe.validate_every: 2}, "
    "search: {hydra.sweeper.n_trials: 2, recovery.steps: 2, recovery.save_every: 1, "
    "recalibration.batches: 1, data.num_held_out: 8}, "
    "finetune: {recipe.epochs: 1, recipe.validate_every: 1}}",
]  # fmt: skip


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_networks(tmp_path):
    def start(name):
        settings = [word.replace("DATA", str(tmp_path / "data")) for word in TINY]
        return subprocess.Popen(
            [sys.executable, "-m", "src.pipeline", *settings,
             f"hydra.run.dir={tmp_path / name}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def end(process):
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said[-2000:]

    end(start("whole"))
    moments, kills = random.Random(0), 0
    for _ in range(4):
        process = start("killed")
        time.sleep(moments.uniform(6, 25))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        time.sleep(2)  # what it had started is told to end, and writes what it has
    assert kills
    end(start("killed"))
    for stage in ("teacher", "distil", "finetune"):
        one, other = (
            checkpoint.load(tmp_path / name / stage / "checkpoints" / "best.ckpt").model
            for name in ("whole", "killed")
        )
        for key, value in one.state_dict().items():
            assert value.equal(other.state_dict()[key]), (stage, key)
    assert (tmp_path / "whole/search/best.yaml").read_text() == (
        tmp_path / "killed/search/best.yaml"
    ).read_text()
