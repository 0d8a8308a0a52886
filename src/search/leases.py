"""Leases: which process works on which trial, so that a dead one's trials are taken over.

A process on this machine is asked for itself: it is alive or it is not, however long it is silent.
One on another machine gives signs of life in the study; clocks need not agree, since the reader
only looks whether the sign changes while it waits.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

LEASE = "lease"
"""User attribute of a trial under way."""

BEAT = 10.0
"""Seconds between signs of life."""

SETTLE = 0.5
"""Seconds after which of several that take over the same trial the last one has it."""


class Leases:
    """The trials that this process works on, and whether others' processes live.

    Args:
        study: of the trials.
        grace: seconds without a sign of life after which a process elsewhere counts as dead.
    """

    def __init__(self, study: Study, *, grace: float) -> None:
        self.study = study
        self.grace = grace
        self.name = uuid.uuid4().hex
        self._seen: dict[str, tuple[int, float]] = {}

    def mine(self, beat: int = 0) -> dict[str, Any]:
        """What says in the study that a trial is this process's."""
        pid = os.getpid()
        return {"worker": self.name, "machine": _machine(), "pid": pid, "started": _started(pid),
                "host": platform.node(), "beat": beat}  # fmt: skip

    def dead(self, trial: FrozenTrial) -> bool:
        """Whether the process that works on a trial is gone; False until that is certain."""
        lease = trial.user_attrs.get(LEASE)
        if lease is None or lease["worker"] == self.name:  # None: such as of Optuna's command line
            return False
        if lease["machine"] == _machine() and lease["started"] is not None:
            return _started(lease["pid"]) != lease["started"]
        beat, now = lease["beat"], time.monotonic()
        known, since = self._seen.get(lease["worker"], (None, now))
        if beat != known:
            self._seen[lease["worker"]] = (beat, now)
            return False
        return now - since > self.grace

    def take_over(self, trial: FrozenTrial) -> bool:
        """Make a dead process's trial this one's; False if another process was faster."""
        if not self.dead(self._latest(trial)):
            return False
        self._write(trial, self.mine())
        time.sleep(SETTLE)
        return self._latest(trial).user_attrs[LEASE]["worker"] == self.name

    @contextlib.contextmanager
    def held(self, trials: Sequence[Trial]) -> Iterator[None]:
        """Give signs of life for some trials."""
        stop = threading.Event()

        def beat() -> None:
            count = 0
            while not stop.wait(BEAT):
                count += 1
                for trial in trials:
                    with contextlib.suppress(UpdateFinishedTrialError):
                        self._write(trial, self.mine(count))

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _write(self, trial: FrozenTrial | Trial, lease: dict[str, Any]) -> None:
        self.study._storage.set_trial_user_attr(trial._trial_id, LEASE, lease)

    def _latest(self, trial: FrozenTrial) -> FrozenTrial:
        return self.study._storage.get_trial(trial._trial_id)


def _machine() -> str | None:
    """This boot of this machine, and within it the name space of its process numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _started(pid: int) -> int | None:
    """When a process began, in ticks of the kernel: numbers are used again; None: there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])  # a zombie only waits to be counted
