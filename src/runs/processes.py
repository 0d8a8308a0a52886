"""Which process of a run this is, and where there may be one only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


def rank() -> int:
    """Number of this process among those of a run; Lightning starts them with it."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    return int(next((os.environ[name] for name in names if os.environ.get(name)), 0))


def check_one_device(trainer: Mapping[str, Any], where: str, instead: str) -> None:
    """Refuse several processes where each would do the whole work again.

    Args:
        trainer: settings of the trainer.
        where: what takes one device, such as ``inside a multirun``.
        instead: what to do, with the command that works.

    Raises:
        ValueError: naming both settings.
    """
    devices, nodes = trainer.get("devices", 1), trainer.get("num_nodes", 1)
    if devices != 1 or nodes != 1:
        raise ValueError(
            f"expected trainer.devices=1 and trainer.num_nodes=1 {where}, got {devices} and "
            f"{nodes}: every process would do the whole work again; {instead}"
        )
