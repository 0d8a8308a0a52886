"""One command for the whole: what it runs, keeps, repeats, and says at its end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wandb
from composing import complaint_of, composed
from offline_runs import read_runs
from stand_in_wandb import stand_in

from src import checkpoint
from src.pipeline import pipeline, stages_of
from src.runs import locks
from src.stages import chain
from src.stages.process import StageFailed
from src.tracking.panels import WORKSPACES, unlogged

NAMES = ["teacher", "distil", "search", "finetune", "measure", "predict", "export", "validate"]


@pytest.fixture
def ran(monkeypatch):
    """Commands that were run, as they were typed; each leaves the file that it is asked for."""
    commands: list[tuple[str, list[str]]] = []

    def run_command(command, arguments, say, variables):
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


def test_the_data_is_told_to_whom_it_concerns(tmp_path):
    given = "dataset={data.root: elsewhere}"
    with composed("pipeline", tmp_path, "pipeline=demo", given) as config:
        told = {stage.name for stage in stages_of(config, tmp_path) if "data.root" in stage.options}
    assert told == set(NAMES) - {"predict"}  # which has a source of its own


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
    def fails(*_):
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
        (
            ["plan.search.command=sweep"],
            "expected plan.search.command among benchmark, calibrate",
        ),
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


def test_the_page_shows_what_trainings_learned(tmp_path, ran):
    run(tmp_path)
    rows = ["step,train/loss,train/kd_weight_box,prune/rate_ssh,val/ap", "0,3,0.5,,", "1,,,,0.1"]
    (tmp_path / "distil" / "metrics.csv").write_text("\n".join(rows))
    run(tmp_path)
    page = (tmp_path / "page.html").read_text()
    assert "Weights of the terms, distil" in page
    assert "Student and teacher, distil" in page
    assert "Rates asked for by now, distil" not in page  # it has the column, and no value


def test_stages_are_one_group_of_wandb(tmp_path, ran, monkeypatch):
    """Commands with curves log themselves, and are told as what; the others have a run, too."""
    for name in ("WANDB_RUN_GROUP", "WANDB_JOB_TYPE", "WANDB_NAME", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    told = []
    runs_command = chain.run_command

    def run_command(command, arguments, say, variables):
        told.append((command, variables, [a for a in arguments if a.startswith("logger=")]))
        runs_command(command, arguments, say, variables)
        folder = next(a for a in arguments if a.startswith("hydra.run.dir=")) if (
            command == "export") else None  # fmt: skip
        if folder is not None:
            runtime = {"deltas": {"relative": 2e-6, "largest": 1.0}}
            content = {"bytes": 700, "differences": {"onnxruntime": runtime}}
            place = Path(json.loads(folder.partition("=")[2]))
            (place / "export.json").write_text(json.dumps(content))

    monkeypatch.setattr(chain, "run_command", run_command)
    runs = stand_in(monkeypatch)
    run(tmp_path, "wandb=true", "name=first")
    both, one = ["logger=[tensorboard,wandb]"], ["logger=wandb"]
    group = {"WANDB_RUN_GROUP": "first"}
    assert told[0] == (
        "train", {**group, "WANDB_JOB_TYPE": "teacher", "WANDB_NAME": "teacher"}, both
    )  # fmt: skip
    assert told[2] == ("sweep_pruning", {**group, "WANDB_JOB_TYPE": "search"}, one)
    assert told[4] == ("measure", {**group, "WANDB_JOB_TYPE": "measure"}, [])

    names = ["search", "measure", "predict", "export", "validate"]
    assert [each.given["name"] for each in runs] == names
    assert [each.given["job_type"] for each in runs] == names
    assert {each.given["group"] for each in runs} == {"first"}
    assert {each.given["mode"] for each in runs} == {"offline"}
    assert all(each.finished for each in runs)
    search, measure, _, export, _ = runs
    base = tmp_path.name
    assert [a.name for a in search.used] == [f"{base}-distil-best.ckpt"]
    assert [(a.name, a.type) for a in search.made] == [(f"{base}-search-best.yaml", "plan")]
    assert [a.name for a in export.used] == [f"{base}-finetune-best.ckpt"]
    assert [a.type for a in export.made] == ["exported network"]
    assert export.logged["export/bytes"] == 700
    assert export.logged["export/difference"] == 2e-6
    assert measure.logged["network/parameters"] == 300_000  # the last row, the largest network
    assert measure.logged["stage/seconds"] >= 0

    told.clear()
    run(tmp_path, "name=first")  # where stages are logged says nothing of what they make
    assert not told


def test_a_stage_that_w_and_b_does_not_take_is_done(tmp_path, ran, monkeypatch, caplog):
    def refuse(**_):
        raise wandb.Error("no network")

    monkeypatch.setattr(wandb, "init", refuse)
    run(tmp_path, "wandb=true", "stages=[teacher,distil,search]")
    assert "stage search is not in W&B: no network" in caplog.text
    assert (tmp_path / "search" / "best.yaml").exists()


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


@pytest.mark.slow
def test_offline_runs_of_w_and_b_say_where_networks_come_from(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    settings = [word.replace("DATA", str(tmp_path / "data")) for word in TINY]
    settings[1] = "stages=[teacher,distil,search,finetune,measure,export]"
    settings[3] = settings[3][:-1] + ", measure: {rounds: 1}, export: {num_images: 1}}"
    done = subprocess.run(
        [sys.executable, "-m", "src.pipeline", *settings, "wandb=true",
         f"hydra.run.dir={tmp_path / 'run'}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    check_offline_runs(read_runs(tmp_path / "run"))


def check_offline_runs(runs):
    jobs = [(each.job_type, each.name) for each in runs]
    trials = [("search", f"demo-{number}") for number in (0, 1)]
    stages = ["teacher", "distil", "search", "finetune", "measure", "export"]
    assert sorted(jobs) == sorted([*((stage, stage) for stage in stages), *trials])
    assert {each.group for each in runs} == {"tiny"}

    by_name = {each.name: each for each in runs}
    made = {name: digest for each in runs for name, digest in each.made.items()}
    assert sorted(made) == [
        "run-distil-best.ckpt", "run-export-best.onnx", "run-finetune-best.ckpt",
        "run-measure-measure.json", "run-search-best.yaml", "run-teacher-best.ckpt",
    ]  # fmt: skip
    for each in runs:  # what one reads is what another wrote, by name and content
        for name, digest in each.used.items():
            assert made[name] == digest, (each.name, name)
    teacher, distil, plan, last = (
        f"run-{name}" for name in (
            "teacher-best.ckpt", "distil-best.ckpt", "search-best.yaml", "finetune-best.ckpt"
        )
    )  # fmt: skip
    used = {name: set(each.used) for name, each in by_name.items() if each.used}
    assert used == {
        "distil": {teacher},
        "search": {distil},
        "demo-0": {distil},
        "demo-1": {distil},
        "finetune": {teacher, distil, plan},
        "measure": {teacher, distil, last},
        "export": {last},
    }
    logged = set().union(*(each.logged for each in runs))
    assert unlogged(WORKSPACES["search"], logged) == set()
    largest = {"network/ap_size_96_inf"}  # of a size that no face in these images has
    assert unlogged(WORKSPACES["pipeline"], logged) == largest
