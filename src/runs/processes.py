"""Which process of a run this is."""

from __future__ import annotations

import os


def rank() -> int:
    """Number of this process among those of a run; Lightning starts them with it."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    return int(next((os.environ[name] for name in names if os.environ.get(name)), 0))
