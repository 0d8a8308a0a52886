"""The one way a Lightning trainer is made from its settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger

from src.cli.targets import instantiate
from src.training.progress import Progress


def build_trainer(
    settings: Any, callbacks: Iterable[L.Callback] = (), loggers: Iterable[Logger] = ()
) -> L.Trainer:
    """The trainer of ``conf/trainer``, which shows its progress; without a callback that writes
    checkpoints it writes none."""
    given = [*callbacks, Progress()]
    trainer: L.Trainer = instantiate(
        settings,
        callbacks=given,
        logger=list(loggers),
        enable_progress_bar=False,  # Progress is ours
        enable_checkpointing=any(isinstance(each, Checkpoint) for each in given),
        _convert_="all",
    )
    return trainer
