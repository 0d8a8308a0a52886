"""Trials of the search of pruning rates, and the search as a command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import torch
from composing import TINY_DATA, composed
from omegaconf import open_dict
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from src import checkpoint, sweep_pruning
from src.models import featherface_v1, nano_b
from src.pruning import prune_at_once
from src.search.job import Watcher
from src.search.plans import RATES, feasible_plans
from src.search.space import Space
from src.search.storage import open_storage
from src.sweep_pruning import trial
from src.training.detector import DetectorModule

ROOT = Path(__file__).resolve().parents[1]
QUICK = [
    *TINY_DATA, "data.image_size=64", "data.batch_size=2", "data.num_held_out=2", "trainer=cpu",
    "recalibration.batches=1", "recovery.steps=4", "recovery.save_every=2", "height=64", "width=64",
]  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return tmp_path_factory.mktemp("data") / "tiny"


@pytest.fixture
def run(tmp_path, tree, student):
    """``run("a=1", folder="x")``: what the trial with these settings returns."""

    def run(*options, folder="trial"):
        given = [f"checkpoint={student}", f"data.root={tree}", *QUICK, *options]
        with composed("sweep_pruning", tmp_path / folder, *given) as config:
            return trial(config, tmp_path / folder)

    return run


@pytest.mark.slow
def test_a_trial_repeats(run):
    first, second = (run(folder=name) for name in ("first", "second"))
    assert first["objective"] == second["objective"]
    assert first["objective"][0] > 0
    other = run("seed=1", folder="third")
    assert first["objective"] != other["objective"]


def test_what_a_trial_says_of_its_network(run, student, tmp_path):
    results = run("pruning.rates.bifpn=0.4")
    facts = results["attributes"]
    saved = torch.load(tmp_path / "trial" / "checkpoints" / "last.ckpt", weights_only=True)
    sizes = [v.numel() for n, v in saved["state_dict"].items() if n.startswith("model.")]
    assert facts["parameters"] < sum(sizes)  # which counts norms' statistics, too
    assert facts["parameters"] <= 0.5 * sum(p.numel() for p in nano_b(channels=16).parameters())
    assert facts["realised_rates"]["bifpn"] > 0.3
    assert {row["group"] for row in facts["widths"]} >= {"ssh", "bifpn"}
    assert results["given_up"] is False


@pytest.mark.slow
def test_recovery_counts(run):
    assert run("recovery.steps=0", folder="none")["objective"] != run()["objective"]


@pytest.mark.slow
def test_trials_recover_with_a_teacher(run, weights, tmp_path):
    """The teacher changes what a network learns, and not what is measured: the labels' loss."""
    taught = ["kd=weighted", f"kd.teacher={weights}"]
    alone, with_teacher = run(folder="alone"), run(*taught, folder="taught")
    assert with_teacher["objective"] != alone["objective"]
    assert with_teacher["attributes"]["widths"] == alone["attributes"]["widths"]
    untrained = [run(*kd, "recovery.steps=0", folder=f"{len(kd)}") for kd in ([], taught)]
    assert untrained[0]["objective"] == untrained[1]["objective"]


class Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("ema", ["none", "exponential"])
def test_a_killed_trial_goes_on(run, monkeypatch, tmp_path, ema):
    options = [f"ema={ema}", "recovery.steps=6"]
    whole = run(*options, folder="whole")
    steps = []

    def step(self, batch, batch_idx):
        steps.append(self.global_step)
        if self.global_step == 3 and kill:
            raise Killed
        return original(self, batch, batch_idx)

    original, kill = DetectorModule.training_step, True
    monkeypatch.setattr(DetectorModule, "training_step", step)
    with pytest.raises(Killed):
        run(*options, folder="killed")
    kill = False
    steps.clear()
    assert run(*options, folder="killed")["objective"] == whole["objective"]
    assert steps == [2, 3, 4, 5]  # of the second part the first step again


class Listener(Watcher):
    def __init__(self, stop_at):
        self.stop_at, self.heard = stop_at, []

    def report(self, value, step):
        self.heard.append((step, value))
        return step == self.stop_at


def test_a_hopeless_trial_is_given_up(run, monkeypatch):
    listener = Listener(stop_at=4)
    monkeypatch.setattr(sweep_pruning, "watcher", lambda: listener)
    results = run("recovery.steps=8")
    assert [step for step, _ in listener.heard] == [2, 4]
    assert all(value > 0 for _, value in listener.heard)
    assert (results["objective"], results["given_up"]) == ([], True)


@pytest.mark.slow
def test_watching_changes_nothing(run, monkeypatch):
    alone = run(folder="alone")
    monkeypatch.setattr(sweep_pruning, "watcher", lambda: Listener(stop_at=None))
    assert run(folder="watched")["objective"] == alone["objective"]


@pytest.mark.parametrize(
    "second", ["multiply_adds", pytest.param("latency", marks=pytest.mark.slow)]
)
def test_a_second_objective(run, second):
    results = run(f"second={second}", "recovery.steps=0")
    _, value = results["objective"]
    if second == "multiply_adds":
        assert value == results["attributes"]["multiply_adds"]
    else:
        assert 0 < value < 10_000


def test_a_loss_that_is_not_finite_names_the_images(run, monkeypatch):
    def broken(model, spec, **options):
        pruned = prune_at_once(model, spec, **options)
        next(iter(pruned.model.parameters())).data.fill_(float("nan"))
        return pruned

    monkeypatch.setattr(sweep_pruning, "prune_at_once", broken)
    with pytest.raises(FloatingPointError, match=r"images set aside, got nan on .*\.jpg"):
        run("recovery.steps=0", "recalibration.batches=0")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("second=size", "second of multiply_adds, latency or null, got 'size'"),
        ("data.num_held_out=0", r"data\.num_held_out of at least 1"),
        ("pruning=soft", "pruning=soft prunes along a training"),
        ("pruning=none", "expected pruning=one_shot"),
    ],
)
def test_settings_that_cannot_work(run, option, message):
    with pytest.raises(ValueError, match=message):
        run(option)


# The points that may be tried


def plans(tmp_path, student, *options, **bounds):
    distributions = {RATES + n: FloatDistribution(*pair) for n, pair in bounds.items()}
    given = [f"checkpoint={student}", *options]
    with composed("sweep_pruning", tmp_path, *given) as config:
        return feasible_plans(config, Space(distributions, ("seed=3",)))


BOUNDS = {
    "backbone_early": (0.0, 0.4), "backbone_late": (0.1, 0.5), "cbam": (0.1, 0.5),
    "bifpn": (0.15, 0.6), "ssh": (0.1, 0.5), "heads": (0.0, 0.3),
}  # fmt: skip


def test_plans_keep_the_budget_and_what_else_is_searched(tmp_path, student):
    space, feasible = plans(tmp_path, student, **BOUNDS)
    assert list(space.distributions) == [RATES + name for name in BOUNDS]
    proposal = {**{RATES + n: low for n, (low, _) in BOUNDS.items()}, "optimizer.lr": 0.1}
    point = feasible.project(proposal)
    assert feasible.facts(point)["parameters"] <= feasible.surface.budget
    assert point["optimizer.lr"] == 0.1
    assert set(point) == set(proposal)
    assert feasible.key(point) != feasible.key({**point, "optimizer.lr": 0.2})


def test_groups_that_the_network_lacks_are_not_searched(tmp_path):
    file = tmp_path / "plain.ckpt"
    network = featherface_v1("v1_487103", channels=16, bifpn_repeats=1, cbam_reduction=None)
    checkpoint.save(file, network)
    space, _ = plans(tmp_path / "run", file, "pruning.parameters=0.7", **BOUNDS)
    assert RATES + "cbam" not in space.distributions
    assert "pruning.rates.cbam=null" in space.fixed
    assert space.fixed[0] == "seed=3"


@pytest.mark.parametrize(
    ("second", "direction"),
    [("multiply_adds", "minimize"), ("null", ["minimize"] * 2), ("latency", ["minimize"])],
)
def test_as_many_directions_as_objectives(tmp_path, student, second, direction):
    distributions = {RATES + n: FloatDistribution(*pair) for n, pair in BOUNDS.items()}
    given = [f"checkpoint={student}", f"second={second}"]
    with composed("sweep_pruning", tmp_path, *given) as config, open_dict(config):
        config.hydra = {"sweeper": {"direction": direction}}
        with pytest.raises(ValueError, match=r"together with hydra\.sweeper\.direction="):
            feasible_plans(config, Space(distributions, ()))


@pytest.mark.parametrize(
    "distribution", [FloatDistribution(0.1, 0.5, step=0.1), CategoricalDistribution(["0.1", "0.2"])]
)
def test_rates_are_searched_as_intervals(tmp_path, student, distribution):
    with composed("sweep_pruning", tmp_path, f"checkpoint={student}") as config:
        space = Space({RATES + "cbam": distribution}, ())
        with pytest.raises(ValueError, match=r"searched as interval\(LOW,HIGH\)"):
            feasible_plans(config, space)


def test_intervals_outside_the_bounds(tmp_path, student):
    with pytest.raises(ValueError, match=r"set pruning\.bounds\.cbam=\[0\.1,0\.8\]"):
        plans(tmp_path, student, **{**BOUNDS, "cbam": (0.1, 0.8)})


def test_trials_of_a_study_are_one_group_of_wandb(tmp_path, student):
    given = [f"checkpoint={student}", "study=half", "logger=wandb"]
    with composed("sweep_pruning", tmp_path, *given, multirun=True) as config:
        assert config.logger.wandb.group == "half"
        assert config.logger.wandb.name == "half-0"


@pytest.mark.slow
@pytest.mark.real_data
def test_the_published_network_on_real_images(tmp_path, shared):
    weights = shared / "weights" / "mobilenet0.25_Final.pth"
    settings = [
        f"checkpoint={weights}", "data=widerface", f"data.root={shared / 'widerface'}",
        *[option for option in QUICK if "generator" not in option], "data.num_train_images=8",
        "data.image_size=128", "optimizer.lr=1e-3",
    ]  # fmt: skip
    bounds = {RATES + name: FloatDistribution(*pair) for name, pair in BOUNDS.items()}
    with composed("sweep_pruning", tmp_path / "search", *settings) as config:
        space, feasible = feasible_plans(config, Space(bounds, ()))
    assert [name.removeprefix(RATES) for name in space.distributions] == [
        "backbone_early", "backbone_late", "bifpn", "ssh",
    ]  # fmt: skip
    rates = [f"{name}={rate}" for name, rate in feasible.probe().items()]
    with composed("sweep_pruning", tmp_path / "trial", *settings, *rates, *space.fixed) as config:
        results = trial(config, tmp_path / "trial")
    assert 240_000 < results["attributes"]["parameters"] <= 489_015 / 2
    assert results["objective"][0] > 0


# The command


class Command:
    """``python -m src.NAME`` in a folder, on the tiny data."""

    def __init__(self, folder: Path, student: Path, tree: Path) -> None:
        self.folder = folder
        self.data = [f"data.root={tree}", *TINY_DATA, "data.image_size=64", "data.batch_size=2",
                     "trainer=cpu"]  # fmt: skip
        self.search = [f"checkpoint={student}", *QUICK, "study=tiny", "hydra.sweeper.n_trials=3"]

    def start(self, name: str, *options: str) -> subprocess.Popen:
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", f"src.{name}", *self.data, *options]
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, name: str, *options: str) -> tuple[int, str, str]:
        process = self.start(name, *options)
        out, errors = process.communicate(timeout=300)
        return process.returncode, out, errors

    def sweep(self, sweep: str, *options: str) -> tuple[int, str, str]:
        return self.run("sweep_pruning", *self.search, f"hydra.sweep.dir={sweep}", *options)

    def trials(self, sweep: str) -> list[optuna.trial.FrozenTrial]:
        storage = open_storage(None, self.folder / sweep)
        return optuna.load_study(study_name="tiny", storage=storage).trials


@pytest.fixture(scope="module")
def command(tmp_path_factory, student, tree):
    return Command(tmp_path_factory.mktemp("command"), student, tree)


@pytest.fixture(scope="module")
def whole(command):
    """What a search of three trials says, and its trials."""
    code, out, errors = command.sweep("whole")
    assert code == 0, errors
    return out, command.trials("whole")


@pytest.mark.slow
def test_a_search(command, whole):
    out, trials = whole
    lines = [line for line in out.splitlines() if " parameters, " in line]
    assert [line.partition("trial ")[2][0] for line in lines] == ["0", "1", "2"]
    dense = sum(p.numel() for p in nano_b(channels=16).parameters())
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 3
    assert all(t.user_attrs["parameters"] <= dense / 2 for t in trials)
    assert [t.user_attrs["design"] for t in trials] == ["probe", "sobol", "sobol"]
    assert {p.name for p in (command.folder / "whole").iterdir()} >= {
        "best.yaml", "report.html", "results.json", "journal.log", "0", "1", "2",
    }  # fmt: skip


@pytest.mark.slow
def test_the_next_command_takes_what_it_found(command, whole, student):
    best = json.loads((command.folder / "whole" / "results.json").read_text())["best"]
    code, _, errors = command.run(
        "train", "model=checkpoint", f"init.model={student}", "pruning=whole/best", "logger=csv",
        "recipe.epochs=1", "recipe.validate_every=1", "num_pictures=0", "run=pruned",
    )  # fmt: skip
    assert code == 0, errors
    run = command.folder / "outputs" / "train" / "pruned"
    widths = {row["name"]: row["after"] for row in whole[1][best].user_attrs["widths"]}
    assert checkpoint.load(run / "checkpoints" / "best.ckpt").model.config["widths"] == widths


@pytest.mark.slow
def test_a_search_killed_within_a_trial_ends_as_if_it_were_not(command, whole):
    process = command.start("sweep_pruning", *command.search, "hydra.sweep.dir=killed")
    last = command.folder / "killed" / "1" / "checkpoints" / "last.ckpt"
    while not last.exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert [t.state.name for t in command.trials("killed")] == ["COMPLETE", "RUNNING"]
    code, out, errors = command.sweep("killed")
    assert code == 0, errors
    assert "1 of 3 trials are there" in out
    trials = command.trials("killed")
    assert [(t.number, t.params, t.values) for t in trials] == [
        (t.number, t.params, t.values) for t in whole[1]
    ]


@pytest.mark.slow
def test_other_settings_are_another_search(command, whole):
    code, _, errors = command.sweep("whole", "recovery.steps=5")
    assert code == 1
    (line,) = errors.strip().splitlines()
    assert "recovery.steps: 4, now 5" in line


@pytest.mark.slow
def test_devices_are_refused_before_any_trial(command):
    code, _, errors = command.sweep("refused", "trainer.devices=2")
    assert code == 1
    (line,) = errors.strip().splitlines()
    assert "start the command once per device instead" in line
    assert not (command.folder / "refused").exists()
