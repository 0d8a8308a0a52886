"""Artefacts of W&B: the files that a run read and those it wrote, so that its graph joins them.

A file has the same name in the run that writes it and in one that reads it, by where it lies, and
W&B knows its versions by their content. Files are referred to where they lie, not copied: they are
read when a run is uploaded.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from src.tracking.account import mode, project

log = logging.getLogger(__name__)

KINDS = {
    ".ckpt": "network", ".pth": "network", ".yaml": "plan", ".json": "table", ".png": "picture",
}  # fmt: skip
"""Suffix -> type of an artefact; others are exported networks."""


class StageRun(NamedTuple):
    """What one run of W&B says of a command that is done."""

    name: str
    group: str
    settings: Mapping[str, Any]
    rows: Sequence[Mapping[str, float]]
    """Numbers, one step each."""
    used: Sequence[Path]
    made: Sequence[Path]


def log_run(stage: StageRun, folder: Path) -> None:
    """Write a run of W&B for a command that writes none itself.

    Args:
        stage: what it says; its name is the job type, too.
        folder: for the files of W&B.
    """
    import wandb

    try:
        run = wandb.init(
            project=project(),
            mode=mode(),  # type: ignore[arg-type]  # W&B says which there are
            dir=str(folder),
            name=stage.name,
            group=stage.group,
            job_type=stage.name,
            config=dict(stage.settings),
            settings=wandb.Settings(console="off", silent=True),
        )
    except wandb.Error as error:  # such as a network that is gone: the stage itself is done
        log.warning("stage %s is not in W&B: %s", stage.name, error)
        return
    with run:
        for row in stage.rows:
            run.log(dict(row))
        log_lineage(run, used=stage.used, made=stage.made)


def log_lineage(
    run: Any, *, used: Iterable[Path], made: Iterable[Path], facts: Mapping[str, Any] | None = None
) -> None:
    """Tell a run of W&B what it read and what it wrote; files that do not exist are left out.

    Args:
        run: of ``wandb``.
        used: files that it read.
        made: files that it wrote.
        facts: of those that it wrote, plain values.
    """
    import wandb

    try:
        for file in _existing(used):
            _use(run, _artifact(file, {}))
        for file in _existing(made):
            run.log_artifact(_artifact(file, facts or {}))
    except wandb.Error as error:  # the run itself is done
        log.warning("W&B does not know all files of this run: %s", error)


def _existing(files: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(file.resolve() for file in files if file.is_file()))


def _use(run: Any, artifact: Any) -> None:
    """Say that a run read an artefact.

    ``use_artifact`` refuses to work offline. What it does online with an artefact that is not
    there yet is written instead, and comes into effect when the run is uploaded.
    """
    if run.settings.mode == "offline":
        run._log_artifact(artifact, aliases=[], is_user_created=True, use_after_commit=True)
    else:
        run.use_artifact(artifact)


def artifact_name(file: Path) -> str:
    """The name of a file's artefact: ``demo-distil-best.ckpt`` of ``demo/distil/checkpoints``."""
    parts = [part for part in file.resolve().parts if part != "checkpoints"][-3:]
    return re.sub(r"[^\w.-]+", "_", "-".join(parts))[:128]


def _artifact(file: Path, facts: Mapping[str, Any]) -> Any:
    import wandb

    kind = KINDS.get(file.suffix, "exported network")
    artifact = wandb.Artifact(artifact_name(file), type=kind, metadata=dict(facts))
    artifact.add_file(str(file), policy="immutable", skip_cache=True)
    return artifact
