"""Where a result came from: revision and versions, written beside every number."""

from __future__ import annotations

import functools
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@functools.cache  # of the code that runs: that of the start
def revision() -> str:
    """Commit of this checkout, ``-dirty`` when files differ from it; ``unknown`` outside git."""
    if not (ROOT / ".git").exists():  # installed: git would answer for what is around it
        return "unknown"
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=10,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def versions() -> dict[str, str]:
    """Versions of the libraries that decide numbers."""
    return {name: version(name) for name in ("torch", "lightning", "numpy", "opencv-python")}
