"""A training in phases: size, batch, crops, rate or objective change along the way.

Each phase is a training of its own in ``<run folder>/phases/<number>``, set by what one would add
to the command, and begins with the best weights of the one before. So whatever a training can do a
phase can, and a killed run goes on in the phase that it was in.
"""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src import checkpoint
from src.cli.options import CONF
from src.cli.settings import check_types
from src.runs.files import replacing, write_json

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
    plain: Any = OmegaConf.to_container(settings)
    changes = [f"{key}={json.dumps(value)}" for key, value in plain.items()]
    changes.append("recipe.phases=null")
    if before is not None:
        changes += ["model=checkpoint", f"init.model={json.dumps(str(before))}"]
        changes += ["init.backbone=null", "pruning=none"]
    keys = {_key(change) for change in changes}
    typed = [o for o in job.overrides.task if _key(o) not in keys]
    if before is not None:
        typed = [o for o in typed if not _key(o).startswith("model.")]
    folder.mkdir(parents=True, exist_ok=True)
    ready = GlobalHydra.instance().is_initialized()
    conf = initialize_config_dir(str(CONF), version_base="1.3")
    with contextlib.nullcontext() if ready else conf:
        try:
            config = compose(job.job.name, [*typed, *changes])
        except (HydraException, OmegaConfBaseException) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"expected settings of a training in recipe.phases, got {', '.join(changes)}: "
                f"{reason}"
            ) from error
    config.run_dir = str(folder)
    check_types(config)
    return config


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


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
        done += checkpoint.read(phase.folder / "checkpoints" / "last.ckpt")["global_step"]
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
