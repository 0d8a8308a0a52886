"""A training in phases: size, batch, crops, rate or objective change along the way.

Each phase is a training of its own in ``<run folder>/phases/<number>``, set by what one would add
to the command, and begins with the best weights of the one before. So whatever a training can do a
phase can, and a killed run goes on in the phase that it was in.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from src.cli.composed import composed_command, typed
from src.cli.settings import check_types
from src.runs.files import replacing, write_json
from src.training.resuming import read_training

BEST = Path("checkpoints") / "best.ckpt"
_METRICS = "metrics.json"
_CURVE = "metrics.csv"


class Phase(NamedTuple):
    """One part of a training."""

    config: DictConfig
    folder: Path

    @property
    def ap(self) -> float | None:
        """The best mean average precision; None: it was not trained to its end."""
        file = self.folder / _METRICS
        return float(json.loads(file.read_text())["ap"]) if file.is_file() else None


def phases_of(config: DictConfig, folder: Path) -> list[Phase]:
    """The phases of ``recipe.phases``, none of a training that is one.

    All are composed and checked before the first begins.

    Args:
        config: of the run.
        folder: of the run.

    Raises:
        ValueError: a phase that is not a table of settings, or does not compose, or a network that
            is pruned along the training.
    """
    lists = config.recipe.get("phases")
    if not lists:
        return []
    if not all(isinstance(changes, DictConfig) for changes in lists):
        raise ValueError(
            "expected recipe.phases as tables of settings, such as [{recipe.epochs: 10}, "
            f"{{recipe.epochs: 2, data.image_size: 512}}]; got {lists}"
        )
    if config.pruning is not None and "pruning" in config.module:
        raise ValueError(
            "expected a training without phases to prune along, got recipe.phases beside "
            "pruning=soft; set recipe.phases=null, or pruning=one_shot to prune before the first"
        )
    phases: list[Phase] = []
    for number, changes in enumerate(lists, start=1):
        before = phases[-1].folder / BEST if phases else None
        own = folder / "phases" / str(number)
        phases.append(Phase(_composed(changes, own, before), own))
    return phases


def _composed(settings: DictConfig, folder: Path, before: Path | None) -> DictConfig:
    """The configuration of a phase: what was typed, and what the phase and its start change."""
    job = HydraConfig.get()
    for key in map(str, settings):
        if key.lstrip("+~").partition(".")[0].partition("/")[0] in ("hydra", "run_dir"):
            raise ValueError(f"expected settings of training in recipe.phases, got {key!r}")
    changes = [*typed(settings), "recipe.phases=null"]
    if before is not None:
        changes += typed({"init.model": str(before), "init.backbone": None})
        changes += ["model=checkpoint", "pruning=none"]
    keys = {_key(change) for change in changes}
    given = [o for o in job.overrides.task if _key(o) not in keys]
    if before is not None:
        given = [o for o in given if not _key(o).startswith("model.")]
    folder.mkdir(parents=True, exist_ok=True)
    config = composed_command(job.job.name, [*given, *changes], where="recipe.phases")
    config.run_dir = str(folder)
    check_types(config)
    return config


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def steps_done(phase: Phase) -> int:
    """Optimizer steps up to the last checkpoint of a phase."""
    last = phase.folder / "checkpoints" / "last.ckpt"
    return int(read_training(last)["global_step"]) if last.exists() else 0


def collect(phases: Sequence[Phase], folder: Path) -> None:
    """Give the folder of the run what that of a training in one phase has.

    ``checkpoints/best.ckpt`` and ``metrics.json`` are those of the last phase, ``metrics.csv``
    counts the steps of all.
    """
    last = phases[-1].folder
    with replacing(folder / BEST) as partial:
        shutil.copyfile(last / BEST, partial)
    rows: list[dict[str, str]] = []
    done = 0
    for phase in phases:
        if (phase.folder / _CURVE).is_file():
            with (phase.folder / _CURVE).open(newline="") as stream:
                own = list(csv.DictReader(stream))
            rows += [{**row, "step": str(done + int(row["step"]))} for row in own]
        done += steps_done(phase)
    if rows:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with (
            replacing(folder / _CURVE) as partial,
            partial.open("w", newline="") as stream,
        ):
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(rows)
    metrics = json.loads((last / _METRICS).read_text())
    write_json(folder / _METRICS, {**metrics, "checkpoint": str(folder / BEST)})
