"""Tries inputs in child processes that have little time and memory each."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

SECONDS = 20
"""Of the processor; of the clock ten times as many, for other work may share the machine."""
BYTES = 2**31
"""Of memory beside what the process has when it begins."""

Trial = Callable[[int], str]
"""Number of an input -> ``read`` or ``refused``."""


def try_all(trial: Trial, numbers: range) -> tuple[Counter[str], list[str]]:
    """Try inputs one after another; a child that dies is replaced for those that are left.

    Returns:
        How often each outcome was, and a sentence for each input that has none.
    """
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    left = list(numbers)
    while left:
        lines, status = _in_child(trial, left)
        for line in lines:
            outcome, _, text = line.partition(" ")
            if outcome == "fault":
                faults.append(f"input {left[0]}: {text}")
            outcomes[outcome] += 1
            left.pop(0)
        if left:  # the child ended at the first of them
            faults.append(f"input {left[0]}: {_death(status)}")
            outcomes["fault"] += 1
            left.pop(0)
    return outcomes, faults


def _in_child(trial: Trial, numbers: list[int]) -> tuple[list[str], int]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            _limit_memory()
            for number in numbers:
                signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process
                signal.setitimer(signal.ITIMER_REAL, 10 * SECONDS)
                os.write(writer, f"{_outcome(trial, number)}\n".encode(errors="replace"))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8", errors="replace") as stream:
        lines = stream.read().splitlines()
    return lines, os.waitpid(child, 0)[1]


def _outcome(trial: Trial, number: int) -> str:
    try:
        return trial(number)
    except BaseException as error:
        place = traceback.extract_tb(sys.exc_info()[2])[-1]
        text = f"{type(error).__name__} in {place.filename}:{place.lineno}: {error}"
        return "fault " + " ".join(text.split())


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _death(status: int) -> str:
    if not os.WIFSIGNALED(status):
        return "the process ended"
    number = os.WTERMSIG(status)
    late = number in (signal.SIGPROF, signal.SIGALRM)
    return f"no end after {SECONDS} s" if late else signal.Signals(number).name
