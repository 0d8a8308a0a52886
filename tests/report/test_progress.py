"""What people who wait are told, by a clock that the tests move."""

from __future__ import annotations

import io
import itertools
import logging
import time

import pytest

from src.report import progress
from src.report.progress import Meter, duration, tracked, waiting


@pytest.fixture
def lines(caplog):
    """``lines()``: what the log was told."""
    caplog.set_level(logging.INFO, logger="src.report.progress")
    return lambda: [record.message for record in caplog.records]


@pytest.mark.parametrize("seconds", [1, 5, 9])
def test_a_line_at_least_every_thirty_seconds(caplog, seconds):
    caplog.set_level(logging.INFO, logger="src.report.progress")
    now, times = 0.0, [0.0]

    def work():
        nonlocal now
        for _ in range(60):
            now += seconds
            yield
            if len(caplog.records) == len(times):  # this item's end was told
                times.append(now)

    for _ in tracked(work(), "decoding", 60, clock=lambda: now):
        pass
    assert max(b - a for a, b in itertools.pairwise([*times, now])) <= 30


def test_what_a_line_says(lines):
    now = iter([0.0, 10.0, 25.0, 25.0, 25.0, 60.0, 60.0, 60.0])
    meter = Meter("training", 1200, "step", done=200, clock=lambda: next(now))
    meter.update(210)
    assert lines() == []
    meter.update(225, lambda: "loss 3")
    assert lines() == ["training: step 225 of 1,200, loss 3, 16 min left"]


def test_short_work_is_silent(lines):
    assert list(tracked(range(3), "files")) == [0, 1, 2]
    assert lines() == []


def test_a_terminal_gets_a_bar(monkeypatch, lines):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    meter = Meter("training", 10, "step")
    meter.bar.mininterval = 0
    meter.update(4, lambda: "epoch 1 of 3")
    meter.bar.refresh()
    assert "4/10" in screen.getvalue()
    assert "epoch 1 of 3" in screen.getvalue()
    assert lines() == []
    meter.close()


@pytest.mark.parametrize(
    ("seconds", "shown"), [(5, "5 s"), (89, "89 s"), (150, "2 min"), (9000, "2.5 h")]
)
def test_durations(seconds, shown):
    assert duration(seconds) == shown


def test_one_long_call_is_not_silent(lines):
    with waiting("export", every=0.01):
        time.sleep(0.1)
    assert "export: 0 s so far" in lines()
    said = len(lines())
    time.sleep(0.05)
    assert len(lines()) == said
