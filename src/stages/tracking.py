"""Weights & Biases of a pipeline: one group, a run for each stage, named and typed after it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from src.stages.numbers import numbers
from src.stages.plan import Stage
from src.tracking.lineage import StageRun, log_run

LOGGERS = {"train": "logger=[tensorboard,wandb]", "sweep_pruning": "logger=wandb"}
"""Command that logs to W&B as it goes -> the loggers it has here, those of its own among them."""


@dataclass(frozen=True)
class Tracking:
    """Where the stages of a pipeline are logged.

    Args:
        group: that their runs are in; ``WANDB_RUN_GROUP`` wins.
    """

    group: str

    @property
    def _group(self) -> str:
        return os.environ.get("WANDB_RUN_GROUP") or self.group

    def options(self, stage: Stage) -> list[str]:
        """What its command is given more; nothing where its loggers are chosen in the plan."""
        logger = LOGGERS.get(stage.command)
        return [] if logger is None or "logger" in stage.options else [logger]

    def variables(self, stage: Stage) -> dict[str, str]:
        """Variables that ``conf/logger/wandb.yaml`` reads; trials keep names of their own."""
        named = {"WANDB_NAME": stage.name} if stage.command == "train" else {}
        return {"WANDB_RUN_GROUP": self._group, "WANDB_JOB_TYPE": stage.name, **named}

    def log(self, stage: Stage, results: Mapping[str, Path], seconds: float) -> None:
        """Log a stage that is done, unless its command has logged itself whole.

        Args:
            stage: of the pipeline.
            results: name of a stage -> its file.
            seconds: that it took.
        """
        if stage.command == "train" and self.options(stage):
            return  # a run with its curves, which names its artefacts itself
        run = StageRun(
            name=stage.name,
            group=self._group,
            settings={"command": stage.command, **stage.options},
            rows=numbers(stage, seconds),
            used=[results[name] for name in stage.needs],
            made=[stage.result],
        )
        log_run(run, stage.folder)
