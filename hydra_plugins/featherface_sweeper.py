"""Hydra's door to the search: ``hydra/sweeper=optuna``. Hydra loads this file at every start, and
only plugins of this folder; all else is in :mod:`src.search.sweep`, imported when it is used.

No ``from __future__ import annotations`` here: Hydra 1.3 runs the file before it is a module.
"""

import sys
from pathlib import Path
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Runs the jobs that an Optuna study asks for; its settings: conf/hydra/sweeper/optuna.yaml."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.context = hydra_context
        self.task = task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> Any:
        from src.search.sweep import sweep

        return sweep(self.settings, self.context, self.task, self.config, arguments)


def say_if_shadowed(main: Any) -> None:
    """Say so where ``python -m src.train`` started that of another project.

    Hydra loads this file in every program that finds it, so also in those of other projects.

    Args:
        main: the module that was started.
    """
    ours = Path(__file__).resolve().parents[1]
    started = getattr(main, "__spec__", None)  # None: not by python -m
    if started is None or not started.name.startswith("src.") or not started.origin:
        return
    file = ours.joinpath(*started.name.split(".")).with_suffix(".py")
    if file.is_file() and Path(started.origin).resolve() != file:
        command = f"featherface-{file.stem.replace('_', '-')}"
        print(
            f"note: python -m {started.name} started {started.origin}; for FeatherFace's, run "
            f"{command}, or the same in {ours}",
            file=sys.stderr,
        )


say_if_shadowed(sys.modules["__main__"])
