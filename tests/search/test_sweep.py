"""The sweeper with Hydra's launcher for one process, on functions that take no time."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime, setup_globals
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from optuna.trial import FrozenTrial, TrialState

from src.search import Space
from src.search.job import watcher
from src.search.leases import LEASE, Leases
from src.search.report.writer import write_sweep_report
from src.search.storage import open_storage
from src.search.study import CACHED, ERROR
from src.search.sweep import Sweep, sweep

ROOT = Path(__file__).resolve().parents[2]
SWEEPS = Path("outputs/sweeps")
TPE = "hydra/sweeper/sampler=tpe"
QUIET = ("hydra.output_subdir=null", "hydra/hydra_logging=none", "hydra/job_logging=none")


def bowl(config: DictConfig) -> float:
    return (config.x - 0.3) ** 2 + (config.y - 0.7) ** 2 + (config.kind == "b")


class Counted:
    """A task that knows which numbers it was called for."""

    def __init__(self, task: Callable[[DictConfig], Any] = bowl) -> None:
        self.task = task
        self.numbers: list[int] = []

    def __call__(self, config: DictConfig) -> Any:
        self.numbers.append(HydraConfig.get().job.num)
        return self.task(config)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a sweep as the command line does: ``run(task, *overrides)``; returns its results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "src.search.sweep.write_sweep_report", lambda *args, **options: None
    )  # seconds
    monkeypatch.setattr(os, "fsync", lambda file: None)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    before = Singleton.get_state()
    setup_globals()
    JobRuntime.instance().set("name", "toy")

    def run(task: Callable[[DictConfig], Any], *overrides: str, study: str | None = "s") -> Any:
        search_path = create_config_search_path(str(Path(__file__).parent / "toy" / "conf"))
        search_path.prepend("command-line", f"file://{ROOT / 'conf'}", anchor="schema")
        loader = ConfigLoaderImpl(search_path)
        name = [] if study is None else [f"hydra.sweeper.study_name='{study}'"]
        config = loader.load_configuration(
            "toy",
            [*QUIET, TPE, *name, *overrides],
            run_mode=RunMode.MULTIRUN,
        )
        context = HydraContext(config_loader=loader, callbacks=Callbacks(config))
        settings = {k: v for k, v in config.hydra.sweeper.items() if not k.startswith("_")}
        return sweep(settings, context, task, config, list(config.hydra.overrides.task))

    yield run
    Singleton.set_state(before)


def trials(study: str = "s", storage: str | None = None) -> list[FrozenTrial]:
    kept = open_storage(storage, SWEEPS / study)
    return optuna.load_study(study_name=study, storage=kept).get_trials(deepcopy=False)


def best(study: str = "s") -> dict[str, Any]:
    return yaml.safe_load((SWEEPS / study / "best.yaml").read_text())


def stopped(run, *arguments, **options) -> str:
    """The sentence with which a search ends."""
    with pytest.raises(SystemExit) as stop:
        run(*arguments, **options)
    message = str(stop.value.code)
    assert message.startswith("error: expected ")
    assert "\n" not in message
    return message


def test_leaves_what_the_next_command_needs(run, caplog, monkeypatch):
    monkeypatch.setattr("src.search.sweep.write_sweep_report", write_sweep_report)
    with caplog.at_level(logging.INFO):
        results = run(bowl)
    assert json.loads((SWEEPS / "s" / "results.json").read_text()) == results
    assert (results["finished"], results["failed"]) == (10, 0)
    assert set(results["params"]) == {"x", "y", "kind"}
    chosen = trials()[results["best"]]
    assert (chosen.params, chosen.values) == (results["params"], results["values"])
    assert best() == results["params"]
    assert "<html" in (SWEEPS / "s" / "report.html").read_text().lower()
    assert re.search(
        r"trial 9 \(10 of 10\): \S+, best \S+ \(trial \d\), x \S+ y \S+ kind", caplog.text
    )
    assert {p.name for p in (SWEEPS / "s").iterdir() if p.is_dir()} == set("0123456789")


def test_the_same_command_does_nothing_more(run):
    task = Counted()
    first = run(task, "hydra.sweeper.n_trials=3")
    assert run(task, "hydra.sweeper.n_trials=3") == first
    assert task.numbers == [0, 1, 2]
    run(task, "hydra.sweeper.n_trials=5")  # raised later
    assert task.numbers == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
def test_interrupted_or_not(run, sampler):
    options = (f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.design=3")
    run(bowl, *options, "hydra.sweeper.n_trials=6", study="whole")
    for count in (2, 4, 6):
        run(bowl, *options, f"hydra.sweeper.n_trials={count}", study="parts")
    whole, parts = ([(t.params, t.values) for t in trials(study)] for study in ("whole", "parts"))
    assert whole == parts


def test_a_result_that_was_not_read_yet(run):
    run(bowl, "hydra.sweeper.n_trials=2")
    kept = open_storage(None, SWEEPS / "s")
    study = optuna.load_study(study_name="s", storage=kept)
    lease = {**Leases(study, grace=60).mine(), "started": 1}  # of a process that is gone
    dead = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={LEASE: lease})
    kept.create_new_trial(study._study_id, template_trial=dead)
    result = {"objective": [0.125], "attributes": {"seconds": 2.0}, "constraints": {}}
    (SWEEPS / "s" / "2").mkdir()
    (SWEEPS / "s" / "2" / "objective.json").write_text(json.dumps(result))
    task = Counted()
    run(task, "hydra.sweeper.n_trials=4")
    assert task.numbers == [3]
    assert trials()[2].values == [0.125]
    assert trials()[2].user_attrs["seconds"] == 2.0


def test_results_of_an_earlier_study_are_not_taken(run):
    run(bowl, "hydra.sweeper.n_trials=2")
    (SWEEPS / "s" / "journal.log").unlink()
    message = stopped(run, bowl, "hydra.sweeper.n_trials=2", "hydra.sweeper.sampler.seed=1")
    assert "outputs/sweeps/s" in message


def fails_above(limit: float) -> Callable[[DictConfig], float]:
    def task(config: DictConfig) -> float:
        if config.x > limit:
            raise ValueError(f"expected x of at most {limit},\ngot <{config.x}>")
        return bowl(config)

    return task


def test_failed_trials_are_replaced(run):
    results = run(fails_above(0.7), "hydra.sweeper.n_trials=4", "hydra.sweeper.max_failures=30")
    assert results["finished"] == 4
    failed = [t for t in trials() if t.state == TrialState.FAIL]
    assert len(failed) == results["failed"] > 0
    for trial in failed:
        assert trial.user_attrs[ERROR] == f"expected x of at most 0.7, got <{trial.params['x']}>"


def test_too_many_failures(run):
    message = stopped(run, fails_above(0.2), "hydra.sweeper.max_failures=1")
    assert "expected at most 1 failed trials, got 2" in message
    assert "hydra.sweeper.max_failures raised" in message
    done = len(trials())
    stopped(run, fails_above(0.2), "hydra.sweeper.max_failures=1")
    assert len(trials()) == done
    run(bowl, "hydra.sweeper.max_failures=2", "hydra.sweeper.n_trials=3")  # mended
    assert sum(t.state == TrialState.COMPLETE for t in trials()) == 3


def test_no_number(run):
    message = stopped(run, lambda config: None, "hydra.sweeper.max_failures=0")
    assert "expected a number or a list of them as the objective of a trial, got None" in message


def test_hopeless_trials_are_given_up(run):
    def task(config: DictConfig) -> dict[str, Any]:
        listener = watcher()
        assert listener is not None
        for step in range(3):
            if listener.report(bowl(config) / (step + 1), step):
                return {"objective": [], "given_up": True}
        return {"objective": bowl(config)}

    pruner = ("hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=3")
    results = run(task, *pruner, "hydra.sweeper.n_trials=8")
    states = [t.state for t in trials()]
    assert len(states) == results["finished"] == 8
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    assert TrialState.PRUNED not in states[:3]
    assert trials()[results["best"]].state == TrialState.COMPLETE


def test_workers_that_end_together_write_one_after_another(run, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    written = []

    def write(path, *args, **options):
        handle = os.open(path.parent, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)
        written.append(path.name)

    monkeypatch.setattr("src.search.sweep.write_best", write)
    run(bowl, "hydra.sweeper.n_trials=1")
    assert written == ["best.yaml"]


def test_nobody_listens_without_a_pruner(run):
    run(lambda config: float(watcher() is None), "hydra.sweeper.n_trials=1")
    assert trials()[0].values == [1.0]


def test_several_objectives(run):
    options = ("hydra.sweeper.direction=[minimize,maximize]", "hydra.sweeper.what=[loss,x]",
               "hydra.sweeper.n_trials=5")  # fmt: skip
    results = run(lambda config: [bowl(config), config.x], *options)
    front = results["pareto"]
    assert all(set(point) == {"number", "values", "params"} for point in front)
    values = [trial.values for trial in trials()]
    for loss, x in (point["values"] for point in front):
        assert not any(a <= loss and b >= x and (a, b) != (loss, x) for a, b in values)
    message = stopped(run, bowl, *options, study="t")
    assert "expected 2 objectives, one per direction, got 1" in message


def test_constraints(run):
    """The best is one that keeps them; the lowest does not."""

    def task(config: DictConfig) -> dict[str, Any]:
        return {"objective": config.x, "constraints": {"x": 0.5 - config.x}}

    results = run(task, "x=interval(0,1)", "hydra.sweeper.n_trials=8", "hydra/sweeper/sampler=gp")
    assert 0.5 <= results["params"]["x"] < 1
    assert min(t.params["x"] for t in trials()) < 0.5


def test_a_launcher_that_stops(run, monkeypatch):
    """Its reason is that of its trials; the results of those that had ended are kept."""

    def made(self):
        launcher = original(self)
        launch = launcher.launch

        def stops(jobs, initial_job_idx):
            returns = launch(jobs, initial_job_idx)
            if initial_job_idx == 1:
                (SWEEPS / "s" / "1" / "objective.json").unlink()
            if initial_job_idx in (1, 2):
                raise RuntimeError("a worker of the pool was lost")
            return returns

        launcher.launch = stops
        return launcher

    original = Sweep._launcher
    monkeypatch.setattr(Sweep, "_launcher", made)
    run(bowl, "x=interval(0,1)", "y=0.5", "hydra.sweeper.n_trials=4")
    assert [t.state.name for t in trials()] == [
        "COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE",
    ]  # fmt: skip
    assert trials()[1].user_attrs[ERROR] == "a worker of the pool was lost"


def test_warm_start(run):
    run(bowl, "hydra.sweeper.warm_start=[{x: 0.3, kind: a},{y: 0.9}]", "hydra.sweeper.n_trials=3")
    first, second, third = trials()
    assert (first.params["x"], first.params["kind"], second.params["y"]) == (0.3, "a", 0.9)
    assert [t.user_attrs["design"] for t in trials()] == ["warm start", "warm start", "probe"]
    assert {**third.params, "y": 0.9} == second.params
    message = stopped(run, bowl, "hydra.sweeper.warm_start=[{z: 1}]", study="t")
    assert "expected points of warm_start with x, y, kind; got 'z'" in message


class Fifths:
    """All points may be tried; fifths of x tell them apart."""

    solved = "x"

    def probe(self) -> dict[str, Any]:
        return {"x": 0.5}

    def project(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {**params, "x": min(params["x"], 0.99)}

    def key(self, params: Mapping[str, Any]) -> int:
        return int(params["x"] * 5)

    def facts(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"fifth": self.key(params)}


def fifths(config: DictConfig, space: Space) -> tuple[Space, Fifths]:
    return space, Fifths()


def test_equal_points_are_answered_from_the_study(run):
    task = Counted()
    results = run(task, f"hydra.sweeper.feasible={__name__}.fifths")
    assert results["finished"] == len(task.numbers) == 5  # all there are, of the 10 wanted
    answered = [t for t in trials() if CACHED in t.user_attrs]
    assert answered
    assert not {t.number for t in answered} & set(task.numbers)
    assert all("fifth" in t.user_attrs for t in trials())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["x=interval(0,0.5)"],
            r"x: FloatDistribution\(high=1.0.*, now FloatDistribution\(high=0.5",
        ),
        (["fail_above=1.0"], "fail_above: 2.0, now 1.0"),
        (["hydra.sweeper.design=3"], "hydra.sweeper.design: 8, now 3"),
        (["hydra.sweeper.sampler.seed=1"], "hydra.sweeper.sampler"),
        (["hydra.sweeper.direction=maximize"], "directions: minimize, now maximize"),
        (["x=0.1"], "x: "),
    ],
)
def test_other_settings_are_another_search(run, overrides, message):
    run(bowl, "hydra.sweeper.n_trials=1")
    found = stopped(run, bowl, *overrides)
    assert re.search(message, found), found
    assert "choose another name for another search" in found
    assert len(trials()) == 1


def test_what_may_differ(run):
    run(bowl, "hydra.sweeper.n_trials=1")
    run(bowl, "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2", "hydra.sweeper.grace=9",
        "hydra.sweeper.max_failures=9", "hydra.sweeper.best=[part]", "+trainer.accelerator=cpu",
    )  # fmt: skip
    assert len(trials()) == 2


def test_what_changes_results_may_not_differ(run):
    run(bowl, "hydra.sweeper.n_trials=1", "+trainer.precision=32")
    assert "trainer.precision: 32, now 16" in stopped(
        run, bowl, "hydra.sweeper.n_trials=2", "+trainer.precision=16"
    )


def test_a_study_without_a_name(run):
    results = run(bowl, "hydra.sweeper.n_trials=1", study=None)
    (folder,) = Path("multirun").glob("*/*")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", str(folder.relative_to("multirun")))
    assert results["study"] == folder.name
    assert {"0", "best.yaml", "journal.log"} <= {file.name for file in folder.iterdir()}


@pytest.mark.parametrize("name", ["two words", "it\\'s", "a=b,c", "nested/name"])
def test_names(run, name):
    run(bowl, "hydra.sweeper.n_trials=2", study=name)
    plain = name.replace("\\", "")
    assert len(trials(plain)) == 2
    assert (SWEEPS / plain / "1" / "objective.json").exists()


def test_a_journal_elsewhere(run):
    run(bowl, "hydra.sweeper.n_trials=1", "hydra.sweeper.storage=kept/all.log")
    run(bowl, "hydra.sweeper.n_trials=2", "hydra.sweeper.storage=kept/all.log", study="t")
    assert [len(trials(s, "kept/all.log")) for s in "st"] == [1, 2]
    assert not (SWEEPS / "s" / "journal.log").exists()


def test_best_as_a_configuration(run):
    results = run(
        lambda config: bowl(config) + (config.kd.name == "none"),
        "part.deep.y=interval(0.0,1.0)", "kd=none,weighted", "hydra.sweeper.best=[part]",
        "hydra.sweeper.n_trials=4",
    )  # fmt: skip
    found, params = best(), results["params"]
    assert found["defaults"] == [{"override /kd": params["kd"]}]
    assert found["part"] == {"x": params["x"], "deep": {"y": params["part.deep.y"]}}
    assert "kd" not in found
    assert found["x"] == params["x"]


def test_keys_that_the_command_lacks(run):
    results = run(
        lambda config: config.extra, "+extra=interval(0.0,1.0)", "hydra.sweeper.n_trials=2"
    )
    assert best()["extra"] in {trial.values[0] for trial in trials()}
    assert results["finished"] == 2


def test_settings_in_the_file_and_on_the_command_line(run):
    run(bowl, "x=0.25", "kind=a,c", "hydra.sweeper.n_trials=2")
    assert [set(trial.params) for trial in trials()] == [{"y", "kind"}] * 2
    assert trials()[0].distributions["kind"].choices == ("a", "c")


def test_signs_of_life_for_all_of_a_batch(run, monkeypatch):
    """Also for those that wait until the numbers before a gap are done."""
    held: list[list[int]] = []
    plain = Leases.held

    def spy(self, frozen):
        held.append([trial.number for trial in frozen])
        return plain(self, frozen)

    run(bowl, "hydra.sweeper.n_trials=1")
    kept = open_storage(None, SWEEPS / "s")
    study = optuna.load_study(study_name="s", storage=kept)
    for state in (TrialState.RUNNING, TrialState.COMPLETE):  # 1 is dead, 2 another process's
        lease = {**Leases(study, grace=60).mine(), "started": 1}
        trial = optuna.trial.create_trial(
            state=state, user_attrs={LEASE: lease}, params=trials()[0].params,
            distributions=trials()[0].distributions,
            values=[1.0] if state == TrialState.COMPLETE else None,
        )  # fmt: skip
        kept.create_new_trial(study._study_id, template_trial=trial)
    monkeypatch.setattr(Leases, "held", spy)
    run(bowl, "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2")
    assert held[0] == [1, 3]


@pytest.mark.parametrize(
    "ranks",
    [{"RANK": "0"}, {"LOCAL_RANK": "1"}, {"WORLD_SIZE": "2"}, {"RANK": "3", "WORLD_SIZE": "4"}],
)
def test_refuses_torchrun(run, monkeypatch, ranks):
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    message = stopped(run, bowl)
    assert ", ".join(f"{name}={value}" for name, value in ranks.items()) in message
    assert "CUDA_VISIBLE_DEVICES=0 <command> & CUDA_VISIBLE_DEVICES=1 <command> & wait" in message
    assert not SWEEPS.exists()


@pytest.mark.parametrize("setting", ["devices=2", "devices=-1", "devices=auto", "num_nodes=2"])
def test_refuses_several_devices(run, setting):
    message = stopped(run, bowl, f"+trainer.{setting}")
    assert "expected trainer.devices=1 and trainer.num_nodes=1 in a search" in message
    assert "start the command once per device instead" in message
    assert not SWEEPS.exists()


def test_one_process_of_a_job_may_search(run, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    run(bowl, "hydra.sweeper.n_trials=1", "+trainer.devices=1")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["hydra.sweeper.n_trials=0"],
            "hydra.sweeper.n_trials to be a whole number of at least 1, got 0",
        ),
        (["hydra.sweeper.n_jobs=two"], "hydra.sweeper.n_jobs to be a whole number"),
        (["hydra.sweeper.max_failures=-1"], "hydra.sweeper.max_failures to be a whole number"),
        (["hydra.sweeper.design=0"], "hydra.sweeper.design to be a whole number"),
        (
            ["hydra.sweeper.grace=abc"],
            "hydra.sweeper.grace to be a number of at least 0",
        ),
        (["hydra.sweeper.storage=[]"], "hydra.sweeper.storage to be text or null, got []"),
        (["hydra.sweeper.params=abc"], "hydra.sweeper.params to be a table of settings or null"),
        (["hydra.sweeper.warm_start=[1]"], "hydra.sweeper.warm_start[0] to be a table of settings"),
        (["hydra.sweeper.sampler=null"], "hydra.sweeper.sampler to be a table of settings"),
        (["hydra.sweeper.direction=[]"], "hydra.sweeper.direction of minimize or maximize"),
        (["hydra.sweeper.feasible=abc"], "hydra.sweeper.feasible to name a function, got 'abc'"),
        (["hydra.sweeper.direction=up"], "hydra.sweeper.direction of minimize or maximize"),
        (["hydra.sweeper.direction=[minimize,up]"], "got ['minimize', 'up']"),
        (["hydra.sweeper.params=null", "x=1"], "expected settings to search, got none"),
        (["hydra.sweeper.storage=grpc://here"], "expected a storage as grpc://HOST:PORT"),
    ],
)
def test_settings_that_cannot_work(run, overrides, message):
    assert message in stopped(run, bowl, *overrides)
