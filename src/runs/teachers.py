"""Which teacher a student's run learns from when it names none: run folders say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.runs.bounded import check_yaml

TEACHERS = ("featherface_v1", "featherface_v2")
"""Networks that count as teachers when none is named; any network can be named."""


@dataclass(frozen=True)
class TeacherSearch:
    """Finds the teacher of a run that names none.

    Args:
        outputs: where runs are.
        run_folder: of this run; a resumed one keeps its teacher.
        data_root: of this run; the teacher must have been trained on the same data.
        command: that trains such a teacher.
    """

    outputs: str
    run_folder: str
    data_root: str
    command: str

    def find(self) -> Path:
        """The teacher this run began with, else the newest finished one of the same data.

        All jobs of a multirun have the same: that of the first, and none that they trained.

        Raises:
            FileNotFoundError: there is none.
        """
        run = Path(self.run_folder)
        sweep = run.parent if (run.parent / "multirun.yaml").is_file() else None
        jobs = [] if sweep is None else sorted(sweep.iterdir())
        for folder in [run, *(job for job in jobs if self._searches_alike(job))]:
            if (begun := _recorded_teacher(folder)) is not None:
                return begun
        root = Path(self.outputs)
        folders = [*root.glob("train/*"), *root.glob("multirun/*/*")]
        own = None if sweep is None else sweep.resolve()
        found = [f for f in folders if self._fits(f) and f.parent.resolve() != own]
        if not found:
            raise FileNotFoundError(
                f"expected a trained teacher ({' or '.join(TEACHERS)}) of {self.data_root} below "
                f"{self.outputs}/, found none; train one with '{self.command}', or name one with "
                "kd.teacher=FILE"
            )
        newest = max(found, key=lambda folder: (folder / "metrics.json").stat().st_mtime)
        return newest / "checkpoints" / "best.ckpt"

    def _searches_alike(self, job: Path) -> bool:
        """Whether a job of the same multirun looks for a teacher of the same data."""
        config = _configuration(job)
        return self._is_same_data(config) and config["kd"].get("teacher") is None

    def _fits(self, folder: Path) -> bool:
        """Whether a run folder holds a finished teacher of this data."""
        needed = (folder / "metrics.json", folder / "checkpoints" / "best.ckpt")
        if not all(file.is_file() for file in needed):
            return False
        config = _configuration(folder)
        lesser = "_target_" in config["kd"] or "_target_" in config["pruning"]
        return self._is_same_data(config) and config["model"].get("name") in TEACHERS and not lesser

    def _is_same_data(self, config: Mapping[str, Mapping[str, Any]]) -> bool:
        root = config["data"].get("root")
        return isinstance(root, str) and Path(root).resolve() == Path(self.data_root).resolve()


def _configuration(run: Path) -> dict[str, dict[str, Any]]:
    """What a run folder says of some groups of settings; empty where it is none of ours."""
    try:
        file = run / "config.yaml"
        check_yaml(file.read_text(encoding="utf-8"))
        config = OmegaConf.to_container(OmegaConf.load(file))
    except (OSError, ValueError, OmegaConfBaseException, yaml.YAMLError):
        config = {}
    found = config if isinstance(config, dict) else {}
    groups = {name: found.get(name) for name in ("data", "model", "kd", "pruning")}
    return {name: group if isinstance(group, dict) else {} for name, group in groups.items()}


def _recorded_teacher(run: Path) -> Path | None:
    """The teacher that a run folder names, None if it names none.

    Raises:
        FileNotFoundError: it is not there any more.
        ValueError: the record is damaged.
    """
    file = run / "run.json"
    if not file.is_file():
        return None
    try:
        recorded = json.loads(file.read_text(encoding="utf-8")).get("teacher")
        if recorded is None:
            return None
        path = Path(recorded["path"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"expected the record of a run in {file}, got '{error}'; name its teacher with "
            "kd.teacher=FILE"
        ) from error
    if path.is_file():
        return path
    if (run / "checkpoints" / "last.ckpt").is_file():  # else it has not really begun
        raise FileNotFoundError(
            f"expected the teacher that {run} began with in {path}, found none; put it back, or "
            "name a copy of it with kd.teacher=FILE"
        )
    return None
