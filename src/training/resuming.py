"""Whether a run starts or goes on, and from which checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from src import checkpoint
from src.runs.record import run_is_named
from src.training.integrity import check_seal

log = logging.getLogger(__name__)


def resume_from(config: DictConfig, last: Path) -> Path | None:
    """The checkpoint to go on from; None to start.

    Raises:
        ValueError: the folder holds a run that ``resume`` does not ask to continue, or
            ``resume`` is asked for without saying which run.
    """
    if not config.resume:
        if last.exists():
            raise ValueError(
                f"expected an empty run folder, got {last.parent.parent} with a checkpoint; add "
                "resume=true to continue that run, or choose another name with run=NAME"
            )
        return None
    if not run_is_named():
        runs = list(last.parents[2].glob("*/checkpoints/last.ckpt"))
        runs.sort(key=lambda file: file.stat().st_mtime)
        newest = f"; the newest is run={runs[-1].parents[1].name}" if runs else ""
        raise ValueError(f"expected run=NAME beside resume=true, to say which run goes on{newest}")
    if not last.exists():
        log.info("no checkpoint in %s yet: starting from the beginning", last.parent)
        return None
    log.info("continuing from %s", last)
    return last


def how_to_resume(config: DictConfig) -> str:
    """What to add to the command of a stopped run."""
    job = HydraConfig.get()
    if job.mode == RunMode.MULTIRUN:  # finished jobs have nothing left to do
        return f"resume=true hydra.sweep.dir={job.sweep.dir}"
    return f"resume=true run={config.run}"


def read_training(last: Path) -> dict[str, Any]:
    """The checkpoint of a run, from which it can go on.

    Raises:
        ValueError: it is damaged, or holds weights alone.
    """
    content = checkpoint.read(last)
    if "loops" not in content:
        raise ValueError(
            f"expected a checkpoint of a training run to resume from in {last}, got weights alone; "
            "start from them with init.model=FILE and another run=NAME"
        )
    for key, kind in _PARTS.items():
        if not isinstance(content.get(key), kind):
            raise ValueError(
                f"expected {key} of a training run in {last}, got {content.get(key)!r:.60}: the "
                "file is damaged; copy it again, or start another run=NAME"
            )
    check_seal(content, last)
    return content


_PARTS = {
    "loops": dict, "global_step": int, "epoch": int, "state_dict": dict, "optimizer_states": list,
    "lr_schedulers": list, "callbacks": dict, "featherface": dict,
    "pytorch-lightning_version": str,
}  # fmt: skip
"""What Lightning goes on from."""
