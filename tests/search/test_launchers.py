"""Searches through Hydra's launchers that start processes; with their plugins only."""

from __future__ import annotations

import os
import signal

import pytest

pytestmark = pytest.mark.slow

FRESH_PROCESSES = True  # launchers start processes of their own from the file of the command
OPTIONS = ("hydra/sweeper/sampler=tpe", "hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=2")


@pytest.fixture
def joblib() -> str:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="no hydra-joblib-launcher")
    return "hydra/launcher=joblib"


@pytest.fixture
def submitit() -> str:
    pytest.importorskip(
        "hydra_plugins.hydra_submitit_launcher", reason="no hydra-submitit-launcher"
    )
    return "hydra/launcher=submitit_local"


def test_joblib(toy, joblib):
    toy.run("two", *OPTIONS, joblib, "hydra.launcher.n_jobs=2", "seconds=0.5")
    assert len(toy.complete("two")) == 6
    events = toy.events()
    assert sorted(e.number for e in events if e.what == "start") == list(range(6))
    first = {e.number: (e.moment, e.process) for e in events if e.what == "start"}
    assert first[0][1] != first[1][1]
    assert abs(first[0][0] - first[1][0]) < 0.5  # at the same time


def test_a_killed_joblib_worker_leaves_its_mate(toy, joblib):
    process = toy.start("killed", *OPTIONS, joblib, "hydra.launcher.n_jobs=2", "seconds=1.0",
                        "x=0.2,0.8", "y=0.5", "kind=a")  # fmt: skip
    toy.wait(lambda: sum(e.what == "start" for e in toy.events()) >= 2)
    toy.wait(lambda: (toy.sweep("killed") / "0" / "objective.json").exists()
             or (toy.sweep("killed") / "1" / "objective.json").exists())  # fmt: skip
    victim = next((e for e in reversed(toy.events()) if e.what == "start"), None)
    assert victim is not None
    os.kill(victim.process, signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    trials = toy.counted("killed")
    assert sum(t.state.name == "COMPLETE" for t in trials) == 6
    assert sum(t.state.name == "FAIL" for t in trials) <= 2
    for trial in trials:
        there = (toy.sweep("killed") / str(trial.number) / "objective.json").exists()
        assert there == (trial.state.name == "COMPLETE")


def test_pruning_in_processes_of_joblib(toy, joblib):
    toy.run("watched", *OPTIONS, joblib, "hydra.launcher.n_jobs=2", "hydra/sweeper/pruner=median",
            "hydra.sweeper.pruner.n_startup_trials=2", "hydra.sweeper.n_trials=10")  # fmt: skip
    states = [t.state.name for t in toy.counted("watched")]
    assert len(states) == 10
    assert set(states) == {"COMPLETE", "PRUNED"}


def test_submitit(toy, submitit):
    toy.run("submitted", *OPTIONS, submitit, "hydra.sweeper.n_trials=4")
    assert len(toy.complete("submitted")) == 4
    assert sorted(e.number for e in toy.events() if e.what == "start") == list(range(4))
