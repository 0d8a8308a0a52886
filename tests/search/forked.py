"""The toy command in processes forked from one that has imported what takes seconds."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TOY = Path(__file__).parent / "toy" / "toy.py"

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["pytest", "src.search.sweep"])  # what takes seconds to import


class Forked:
    """A running toy, with what the tests use of :class:`subprocess.Popen`.

    Args:
        arguments: of the command line.
        folder: where it runs.
        environment: all its variables.
    """

    stdout = None
    _started = 0

    def __init__(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        Forked._started += 1
        self._output = folder / f"output of process {Forked._started}.txt"
        self._process = _FORKS.Process(
            target=_run, args=(list(arguments), folder, dict(environment), self._output)
        )
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Code of the ended process; of a killed one the signal, negative."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(TOY, timeout or 0.0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        self.wait(timeout)
        return self._output.read_text(), None


def _run(arguments: list[str], folder: Path, environment: dict[str, str], output: Path) -> None:
    os.setsid()  # a group of its own: a signal to it reaches what it starts, too
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    for target in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(file, target)
    sys.argv = [str(TOY), *arguments]
    runpy.run_path(str(TOY), run_name="__main__")
