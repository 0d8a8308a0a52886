"""Trials of the search of pruning rates, and the search as a command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import torch
from composing import TINY_DATA, composed
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from src import checkpoint, sweep_pruning
from src.models import featherface_v1, nano_b
from src.pruning import prune_at_once
from src.search.job import Watcher
from src.search.space import Space
from src.search.storage import open_storage
from src.sweep_pruning import RATES, feasible_plans, trial
from src.training.detector import DetectorModule

ROOT = Path(__file__).resolve().parents[1]
QUICK = [
    *TINY_DATA, "data.image_size=64", "data.batch_size=2", "data.num_held_out=2", "trainer=cpu",
    "recalibration.batches=1", "recovery.steps=4", "recovery.save_every=2", "height=64", "width=64",
]  # fmt: skip


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("student") / "student.ckpt"
    checkpoint.save(path, nano_b(channels=16))
    return path


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
    assert results["pruned"] is False


def test_recovery_counts(run):
    assert run("recovery.steps=0", folder="none")["objective"] != run()["objective"]


class Killed(Exception):
    pass


@pytest.mark.parametrize("ema", ["none", pytest.param("exponential", marks=pytest.mark.slow)])
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
    assert (results["objective"], results["pruned"]) == ([], True)


@pytest.mark.slow
def test_watching_changes_nothing(run, monkeypatch):
    alone = run(folder="alone")
    monkeypatch.setattr(sweep_pruning, "watcher", lambda: Listener(stop_at=None))
    assert run(folder="watched")["objective"] == alone["objective"]


@pytest.mark.parametrize("second", ["multiply_adds", "latency"])
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
        ("recovery.steps=-1", r"recovery\.steps of at least 0"),
        ("recovery.save_every=0", r"recovery\.save_every of at least 1"),
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


def test_intervals_outside_the_bounds(tmp_path, student):
    with pytest.raises(ValueError, match=r"set pruning\.bounds\.cbam=\[0\.1,0\.8\]"):
        plans(tmp_path, student, **{**BOUNDS, "cbam": (0.1, 0.8)})


# The command


def sweep(folder: Path, student: Path, tree: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "src.sweep_pruning", f"checkpoint={student}",
               f"data.root={tree}", *QUICK, "study=tiny", "hydra.sweep.dir=sweep",
               *options]  # fmt: skip
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_search_then_train(tmp_path, student, tree):
    """Three trials in seconds; the next command takes what they found."""
    done = sweep(tmp_path, student, tree, "hydra.sweeper.n_trials=3")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if " parameters, " in line]
    assert [line.partition("trial ")[2][0] for line in lines] == ["0", "1", "2"]
    study = optuna.load_study(study_name="tiny", storage=open_storage(None, tmp_path / "sweep"))
    dense = sum(p.numel() for p in nano_b(channels=16).parameters())
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 3
    assert all(t.user_attrs["parameters"] <= dense / 2 for t in study.trials)
    assert [t.user_attrs["design"] for t in study.trials] == ["probe", "sobol", "sobol"]
    assert {p.name for p in (tmp_path / "sweep").iterdir()} >= {
        "best.yaml", "report.html", "results.json", "journal.log", "0", "1", "2",
    }  # fmt: skip
    best = json.loads((tmp_path / "sweep" / "results.json").read_text())["best"]
    widths = study.trials[best].user_attrs["widths"]
    command = [sys.executable, "-m", "src.train", "model=checkpoint", f"init.model={student}",
               "pruning=sweep/best", f"data.root={tree}", *TINY_DATA, "data.image_size=64",
               "data.batch_size=2", "trainer=cpu", "recipe.epochs=1", "recipe.validate_every=1",
               "logger=csv", "num_pictures=0", "run=pruned"]  # fmt: skip
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    trained = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert trained.returncode == 0, trained.stderr
    found = checkpoint.load(tmp_path / "outputs/train/pruned/checkpoints/best.ckpt").model
    assert found.config["widths"] == {row["name"]: row["after"] for row in widths}


@pytest.mark.slow
def test_devices_are_refused_before_any_trial(tmp_path, student, tree):
    done = sweep(tmp_path, student, tree, "trainer.devices=2")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "start the command once per device instead" in line
    assert not (tmp_path / "sweep").exists()
