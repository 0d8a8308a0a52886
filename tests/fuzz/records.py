"""What runs, searches and pipelines leave, and go on from."""

from __future__ import annotations

from pathlib import Path

import optuna
from fabricated_runs import fabricate
from omegaconf import OmegaConf

from src.comparison import compare_settings, group_runs, markdown, read_runs
from src.runs.teachers import TeacherSearch
from src.search.storage import JOURNAL
from src.search.study import open_study
from src.stages import Stage
from src.stages.state import FILE, standing, start
from src.training.continuity import continuing

from .format import Format

_SETTINGS = {"seed": "0"}
_NAMES = ("run.json", "config.yaml", "composed.yaml", "metrics.json", "metrics.csv")


def _runs(folder: Path) -> list[Path]:
    for number in range(2):
        fabricate(folder / "runs" / f"{number}", f"seed={number}", teacher_ap=(0.9, 0.9, 0.5))
    return [folder / "runs" / "0" / name for name in _NAMES]


def _compare(folder: Path) -> None:
    runs, left_out = read_runs([folder / "runs"])
    comparison = compare_settings(group_runs(runs), base=None, left_out=left_out)
    comparison.content()
    markdown(comparison, picture="a.png")


def _go_on(folder: Path) -> None:
    run = folder / "runs" / "0"
    config = OmegaConf.load(folder / "runs" / "1" / "composed.yaml")
    assert isinstance(config, type(OmegaConf.create({})))
    continuing(run, config, "", step=3, anyway=["run_dir", "seed"])


def _teacher(folder: Path) -> list[Path]:
    run = fabricate(folder / "train" / "a", data={"root": str(folder)}, config={
        "data": {"root": str(folder)}, "kd": {"teacher": None}, "pruning": None,
    })  # fmt: skip
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.ckpt").touch()
    fabricate(folder / "own", teacher={"path": str(run / "checkpoints" / "best.ckpt")})
    return [run / "config.yaml", folder / "own" / "run.json"]


def _find_teacher(folder: Path) -> None:
    search = TeacherSearch(str(folder), str(folder / "own"), str(folder), "make")
    search.find()


def _study(folder: Path, storage: str | None) -> optuna.Study:
    return open_study(
        str(folder), storage=storage, folder=folder, directions=["minimize"],
        sampler=optuna.samplers.RandomSampler(), settings=_SETTINGS,  # type: ignore[arg-type]
    )  # fmt: skip


def _search(folder: Path, storage: str | None) -> None:
    study = _study(folder, storage)
    for number in range(2):
        trial = study.ask({"rate": optuna.distributions.FloatDistribution(0, 1)})
        trial.set_user_attr("facts", {"parameters": number})
        study.tell(trial, float(number))


def _database(folder: Path) -> str:
    return f"sqlite:///{folder}/study.db"


def _journal(folder: Path) -> list[Path]:
    _search(folder, None)
    return [folder / JOURNAL]


def _tables(folder: Path) -> list[Path]:
    _search(folder, _database(folder))
    return [folder / "study.db"]


def _stage(folder: Path) -> Stage:
    return Stage(
        name="a", command="train", options={}, folder=folder / "a", result=folder / "b", needs=()
    )


def _state(folder: Path) -> list[Path]:
    start(_stage(folder), {"depends": {"seed": "0"}, "typed": "python -m src.train"})
    return [folder / "a" / FILE]


FORMATS = {
    "run": Format(_runs, _compare),
    "resumed": Format(_runs, _go_on),
    "teacher": Format(_teacher, _find_teacher),
    "search": Format(_journal, lambda folder: _study(folder, None).get_trials()),
    "database": Format(_tables, lambda folder: _study(folder, _database(folder)).get_trials()),
    "stage": Format(_state, lambda folder: standing(_stage(folder), {"seed": "0"})),
}
