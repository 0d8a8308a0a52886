"""How far long work is: a bar on a terminal, else a line every 20 seconds."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from featherface.terminal import printable

_FIRST = 1.0
"""Seconds before anything is shown: short work needs no bar."""
_EVERY = {True: 0.1, False: 20.0}
"""Seconds between bars on a terminal and between lines elsewhere."""


class Progress:
    """Shows on the error stream how many of some units are done.

    Args:
        what: the work, a word or two.
        total: units; None: unknown.
        unit: in the plural, such as ``files``.
        stream: where to; by default the error stream.
    """

    def __init__(
        self, what: str, total: int | None, unit: str, *, stream: TextIO | None = None
    ) -> None:
        self.what, self.total, self.unit = printable(what), total, unit
        self.stream = stream or sys.stderr
        self.bar = self.stream.isatty()
        self.begun = time.monotonic()
        self.next = self.begun + (_FIRST if self.bar else _EVERY[False])
        self.shown = False

    def update(self, done: int) -> None:
        """Say that ``done`` units are done, if it is time to say something."""
        now = time.monotonic()
        if now < self.next:
            return
        self.next, self.shown = now + _EVERY[self.bar], True
        line = self.line(done, now - self.begun)
        if not self.bar:
            print(line, file=self.stream, flush=True)
            return
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{line[:width]:<{width}}", end="", file=self.stream, flush=True)

    def line(self, done: int, seconds: float) -> str:
        """What is shown after that many seconds."""
        rate = f"{done / max(seconds, 1e-9):.1f} {self.unit}/s"
        if self.total is None:
            return f"{self.what}: {done:,} {self.unit}, {rate}"
        share = min(1.0, done / max(self.total, 1))
        bar = f"[{'#' * round(20 * share):<20}] " if self.bar else ""
        left = max(0.0, self.total - done) * seconds / max(done, 1)
        return (
            f"{self.what}: {bar}{done:,} of {self.total:,} {self.unit}, {rate}, "
            f"{_duration(left)} left"
        )

    def close(self) -> None:
        """Take the bar away."""
        if self.bar and self.shown:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{'':<{width}}\r", end="", file=self.stream, flush=True)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
