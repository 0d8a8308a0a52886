"""What makes a run repeatable, written into its folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from src.runs.files import write_json
from src.runs.processes import rank
from src.runs.provenance import revision, versions


def run_folder() -> Path:
    """The folder of this run, made by Hydra."""
    return Path(HydraConfig.get().runtime.output_dir)


def run_is_named() -> bool:
    """Whether the command line says which run folder it means."""
    given = HydraConfig.get().overrides
    naming = ("run", "hydra.run.dir", "hydra.sweep.dir")
    return any(each.split("=")[0] in naming for each in [*given.task, *given.hydra])


def record(folder: Path, config: DictConfig, **facts: Any) -> None:
    """Write what makes the run repeatable: resolved configuration, command, revision, versions."""
    if rank():
        return
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    OmegaConf.save(config, folder / "composed.yaml")  # Hydra rewrites its own at each attempt
    job = HydraConfig.get()
    overrides = list(job.overrides.task)
    provenance = {
        "command": shlex.join(["python", "-m", f"src.{job.job.name}", *overrides]),
        "overrides": overrides,
        "choices": OmegaConf.to_container(job.runtime.choices),
        "revision": revision(),
        "versions": versions(),
        **facts,
    }
    write_json(folder / "run.json", provenance)
