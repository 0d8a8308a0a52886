"""Every panel of a workspace shows what some command logs: tiny runs of all of them say so."""

from __future__ import annotations

import json

import pytest
from composing import TINY_DATA, composed
from stand_in_wandb import stand_in

from src.stages.numbers import numbers
from src.stages.plan import Stage
from src.sweep_pruning import trial
from src.tracking.panels import WORKSPACES, Panel, Workspace, metrics_of, unlogged
from src.train import train

SHORT = [
    "model=nano_b", "model.channels=16", "logger=wandb", "num_pictures=1",
    "trainer.log_every_n_steps=1", "trainer.check_val_every_n_epoch=1",
]  # fmt: skip
TRIAL = [
    *TINY_DATA, "data.image_size=64", "data.batch_size=2", "data.num_held_out=2", "trainer=cpu",
    "recalibration.batches=1", "recovery.steps=2", "recovery.save_every=2", "height=64", "width=64",
    "trainer.log_every_n_steps=1", "logger=wandb",
]  # fmt: skip


@pytest.fixture
def logged(configure, tmp_path, tiny_root, teacher, student, monkeypatch):
    """Command -> names that it logs."""
    runs = stand_in(monkeypatch)
    jobs = {
        "plain": ["trainer.max_epochs=1"],
        "taught": ["trainer.max_epochs=1", "kd=feature", f"kd.teacher={teacher}"],
        "pruned": ["trainer.max_epochs=3", "pruning=soft", "pruning.parameters=0.7"],
    }
    for name, options in jobs.items():
        folder = tmp_path / name
        train(configure("train", folder, *SHORT, *options), folder)
    given = [f"checkpoint={student}", f"data.root={tiny_root}", *TRIAL]
    with composed("sweep_pruning", tmp_path / "trial", *given) as config:
        trial(config, tmp_path / "trial")
    assert [run.finished for run in runs] == [True] * 4
    found = {name: set(run.logged) for name, run in zip([*jobs, "trial"], runs, strict=True)}

    def stage(command, file, content):
        folder = tmp_path / command
        folder.mkdir()
        (folder / file).write_text(json.dumps(content))
        written = Stage(name=command, command=command, options={}, folder=folder,
                        result=folder / file, needs=())  # fmt: skip
        found[command] = {name for row in numbers(written, 1.0) for name in row}

    metrics = json.loads((tmp_path / "plain" / "metrics.json").read_text())
    network = {"parameters": 1, "multiply_adds": 1, "median": 0.1, "metrics": metrics}
    stage("measure", "measure.json", {"networks": [network]})
    runtime = {"deltas": {"relative": 1e-6}}
    stage("export", "export.json", {"bytes": 1, "differences": {"onnxruntime": runtime}})
    return found


EMPTY = {f"{prefix}/ap_size_{size}" for prefix in ("final", "network") for size in
         ("0_16", "16_32", "32_96", "96_inf")}  # fmt: skip
"""Not logged where no face of that size is: on the tiny images. They are those of ``val/``."""


@pytest.mark.slow
def test_panels_name_what_is_logged(logged):
    parts = {
        "training": ("plain",),
        "distillation": ("taught", "pruned"),
        "search": ("trial",),
        "pipeline": ("plain", "pruned", "measure", "export"),
    }
    assert parts.keys() == WORKSPACES.keys()
    for name, jobs in parts.items():
        names = set().union(*(logged[job] for job in jobs))
        assert unlogged(WORKSPACES[name], names) <= EMPTY, name
    sizes = {name.partition("/")[2] for name in EMPTY}
    assert {f"val/{size}" for size in sizes} <= logged["plain"]


def test_a_panel_of_something_else_would_be_seen():
    panels = (Panel("a", ("train/los",)), Panel("b", (), pattern="^rate-"))
    workspace = Workspace("W", {"S": panels})
    assert metrics_of(workspace) == {"train/los", "trainer/global_step"}
    known = ["train/loss", "trainer/global_step", "lr-AdamW"]
    assert unlogged(workspace, known) == {"train/los", "^rate-"}


def test_what_trials_are_compared_by_is_in_their_csv_file(tmp_path, tiny_root, student):
    given = [f"checkpoint={student}", f"data.root={tiny_root}", *TRIAL[:-1]]
    with composed("sweep_pruning", tmp_path, *given) as config:
        trial(config, tmp_path)
    columns = set((tmp_path / "metrics.csv").read_text().splitlines()[0].split(","))
    trials = WORKSPACES["search"].sections["Trials"]
    assert metrics_of(Workspace("trials", {"Trials": trials})) <= columns
