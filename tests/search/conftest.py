"""A toy command and its studies; see toy/toy.py."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import optuna
import pytest
from forked import TOY, Forked
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from src.search.storage import open_storage

ROOT = Path(__file__).resolve().parents[2]
RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name not in RANKS},
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
}


Process = Forked | subprocess.Popen[str]


class Event(NamedTuple):
    """A line of the toy."""

    number: int
    process: int
    moment: float
    what: str
    step: int
    """From which it started; -1 for ends."""


class Toy:
    """Runs the toy command in a folder; what is still running at the end is killed.

    Args:
        folder: where.
        fresh: with an interpreter started for each command, as users do, instead of a forked one.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self.folder = folder
        self.fresh = fresh
        self.processes: list[Process] = []

    def start(self, study: str | None, *overrides: str, **environment: str) -> Process:
        """A process of its own group."""
        name = [] if study is None else [f"hydra.sweeper.study_name={study}"]
        arguments = ["--config-dir", str(ROOT / "conf"), *name, *overrides]
        variables = {**ENVIRONMENT, **environment}
        process: Process
        if self.fresh:
            process = subprocess.Popen(
                [sys.executable, str(TOY), *arguments],
                cwd=self.folder, env=variables, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        else:
            process = Forked(arguments, self.folder, variables)
        self.processes.append(process)
        return process

    def run(self, study: str | None, *overrides: str, **environment: str) -> str:
        """What the command says; it has to succeed."""
        process = self.start(study, *overrides, **environment)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        return output

    def refused(self, study: str | None, *overrides: str, **environment: str) -> str:
        """The one line with which the command fails."""
        process = self.start(study, *overrides, **environment)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 1, output
        lines = output.strip().splitlines()
        assert len(lines) == 1, output
        return lines[0]

    def kill(self, process: Process) -> None:
        """SIGKILL to the process and all it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def sweep(self, study: str) -> Path:
        """The folder of a study."""
        return self.folder / "outputs" / "sweeps" / study

    def study(self, study: str, storage: str | None = None) -> Study:
        return optuna.load_study(study_name=study, storage=open_storage(storage, self.sweep(study)))

    def counted(self, study: str, storage: str | None = None) -> list[FrozenTrial]:
        """Its trials without those that were withdrawn before they began."""
        trials = self.study(study, storage).get_trials(deepcopy=False)
        return [t for t in trials if "withdrawn" not in t.user_attrs]

    def complete(self, study: str, storage: str | None = None) -> list[FrozenTrial]:
        trials = self.counted(study, storage)
        assert {t.state for t in trials} == {TrialState.COMPLETE}
        return trials

    def events(self, name: str = "events.txt") -> list[Event]:
        file = self.folder / name
        events = []
        for line in file.read_text().splitlines() if file.exists() else []:
            number, process, moment, what, *step = line.split()
            events.append(
                Event(int(number), int(process), float(moment), what, int((*step, -1)[0]))
            )
        return events

    def wait(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.01)


@pytest.fixture
def toy(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Toy]:
    """A toy; where its module says ``FRESH_PROCESSES = True``, none is forked."""
    toy = Toy(tmp_path, fresh=getattr(request.module, "FRESH_PROCESSES", False))
    yield toy
    for process in toy.processes:
        toy.kill(process)
