"""Starts the commands of the training framework from any folder: ``featherface-train``, ...

Its modules are called ``src``, as in a checkout. Many projects have a package of that name, so an
installed framework keeps its own out of everyone's way, below this package, with ``conf/``,
``weights/`` and the Hydra plugin beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
ROOT = _HERE if (_HERE / "src").is_dir() else _HERE.parent
"""Where ``src/`` and ``conf/`` are: here when installed, beside this folder in a checkout."""
_PREFIX = "featherface-"


def main() -> None:
    """Become ``python -m src.NAME`` when called as the script ``featherface-NAME``.

    A process of its own, so that all it starts finds the same ``src``, whatever lies in the
    working folder or on ``PYTHONPATH``.
    """
    name = Path(sys.argv[0]).stem.removeprefix(_PREFIX).replace("-", "_")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ["PYTHONSAFEPATH"] = "1"  # -m alone would put the working folder first
    command = [sys.executable, "-m", f"src.{name}", *sys.argv[1:]]
    if os.name == "nt":  # whose exec does not wait
        sys.exit(subprocess.call(command))
    os.execv(sys.executable, command)
