"""Which process of a run this is, with which one it ends, and where there may be one only."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
_FIRST = "FEATHERFACE_FIRST_PROCESS"
"""Environment variable with the process id of the one that starts the others of its run."""


def rank() -> int:
    """Number of this process among those of a run; Lightning starts them with it."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    return int(next((os.environ[name] for name in names if os.environ.get(name)), 0))


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """Have the kernel send this process a signal when the one that started it ends, however it
    does; nothing happens on other systems than Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, number)


def end_with_first() -> None:
    """Let the other processes of a run end with its first one, which alone writes what they did.

    Without it they would wait for messages of a process that was killed. Each calls this as it
    begins, the first one before it starts the others.
    """
    if not rank():
        os.environ[_FIRST] = str(os.getpid())
        return
    end_with_parent(signal.SIGKILL)  # no other signal ends what waits inside a library
    first = os.environ.get(_FIRST)
    if first is not None and os.getppid() != int(first):  # it ended before we asked
        os._exit(1)


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
