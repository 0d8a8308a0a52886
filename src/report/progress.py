"""How far long work is: a bar on a terminal, else a line of the log at least every 30 seconds."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from typing import TypeVar

from tqdm import tqdm

from src.report.terminal import printable

log = logging.getLogger(__name__)

Item = TypeVar("Item")

EVERY = 20.0
"""Seconds between lines: work that is looked at every ten seconds then says something every 30."""


@dataclass
class Meter:
    """Shows how much of some work is done.

    Args:
        what: the work, a few words.
        total: of its units; None: unknown.
        unit: what is counted, such as ``image``.
        done: units that an earlier attempt did.
        clock: seconds, from anywhere; tests replace it.
    """

    what: str
    total: float | None
    unit: str
    _: KW_ONLY
    done: int = 0
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.begun = self.said = self.clock()
        self.bar = tqdm(
            total=self.total, desc=printable(self.what), unit=self.unit, initial=self.done,
            leave=False, disable=not sys.stderr.isatty(),
        )  # fmt: skip

    def update(self, done: int, details: Callable[[], str] = lambda: "") -> None:
        """Say that ``done`` units are done; ``details`` is asked for what else to show."""
        if self.bar.disable:
            if self.clock() - self.said >= EVERY:
                self.said = self.clock()
                log.info("%s", self.line(done, details()))
        elif self.bar.update(done - self.bar.n):
            self.bar.set_postfix_str(details())

    def line(self, done: int, details: str) -> str:
        """What the log is told."""
        of = "" if self.total is None else f" of {self.total:,.0f}"
        parts = [f"{self.what}: {self.unit} {done:,}{of}", details]
        seconds, new = self.clock() - self.begun, done - self.done
        if self.total is not None and new > 0:
            parts.append(f"{duration(seconds / new * max(0.0, self.total - done))} left")
        return ", ".join(filter(None, parts))

    def rate(self, count: float) -> float:
        """``count`` per second since the work began."""
        return count / max(self.clock() - self.begun, 1e-9)

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()


def tracked(
    items: Iterable[Item],
    what: str,
    total: int | None = None,
    *,
    unit: str = "image",
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Item]:
    """The items of a loop, whose progress is shown; see :class:`Meter`."""
    meter = Meter(what, total, unit, clock=clock)
    try:
        for done, item in enumerate(items, 1):
            yield item
            meter.update(done)
    finally:
        meter.close()


@contextmanager
def waiting(what: str, *, every: float = EVERY) -> Iterator[None]:
    """While one long call lasts, which cannot be looked into, the log is told so now and then."""
    ended, begun = threading.Event(), time.monotonic()

    def speak() -> None:
        while not ended.wait(every):
            log.info("%s: %s so far", what, duration(time.monotonic() - begun))

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield
    finally:
        ended.set()
        speaker.join()


def duration(seconds: float) -> str:
    """Seconds in the unit that people would use."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
