"""Hydra's door to the search: ``hydra/sweeper=optuna``. Hydra loads this file at every start, and
only plugins of this folder; all else is in :mod:`src.search.sweep`, imported when it is used.

No ``from __future__ import annotations`` here: Hydra 1.3 runs the file before it is a module.
"""

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
