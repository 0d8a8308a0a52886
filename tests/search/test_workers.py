"""Several processes on one study, one of them killed or stopped in the middle of a trial."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import pytest

pytestmark = pytest.mark.slow

OPTIONS = ("hydra/sweeper/sampler=tpe", "hydra.sweeper.n_trials=16", "seconds=0.8", "steps=8")


def started(toy, name: str) -> int:
    return sum(event.what == "start" for event in toy.events(name))


def phase(toy, name: str) -> float:
    """Seconds from the first start to the last end of a trial."""
    moments = [event.moment for event in toy.events(name)]
    return max(moments) - min(moments)


def finish(workers) -> None:
    for worker in workers:
        output, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0, output


def test_four_share_the_trials(toy, record_property):
    finish([toy.start("four", *OPTIONS, "events=four.txt") for _ in range(4)])
    trials = toy.complete("four")
    assert [trial.number for trial in trials[:16]] == list(range(16))
    assert len(trials) == 16
    assert len({tuple(trial.params.values()) for trial in trials}) == 16
    starts = Counter(e.number for e in toy.events("four.txt") if e.what == "start")
    assert set(starts) == {trial.number for trial in trials}
    assert set(starts.values()) == {1}
    assert len({e.process for e in toy.events("four.txt")}) == 4
    alone = 16 * 0.8  # without any time between trials
    record_property("speedup_of_four_workers", alone / phase(toy, "four.txt"))
    assert phase(toy, "four.txt") < 0.7 * alone


def test_a_killed_worker_loses_no_trial(toy):
    workers = [toy.start("killed", *OPTIONS) for _ in range(4)]
    toy.wait(lambda: started(toy, "events.txt") >= 6)
    time.sleep(0.4)  # the middle of a trial
    toy.kill(workers[1])
    victim = workers[1].pid
    finish([worker for worker in workers if worker is not workers[1]])
    assert len(toy.complete("killed")) == 16
    events = toy.events()
    ends = Counter(event.number for event in events if event.what == "end")
    assert set(ends.values()) == {1}
    assert len(ends) == 16
    lost = {e.number for e in events if e.process == victim and e.what == "start"} - {
        e.number for e in events if e.process == victim and e.what == "end"
    }
    assert len(lost) <= 1
    for number in lost:  # under the same number, from where it was
        first, second = (e for e in events if e.number == number and e.what == "start")
        assert first.process == victim != second.process
        assert second.step > 0
    others = [e.number for e in events if e.what == "start" and e.number not in lost]
    assert len(others) == len(set(others))


def test_a_stopped_worker_is_not_dead(toy):
    options = (*OPTIONS, "hydra.sweeper.n_trials=6", "hydra.sweeper.grace=0.5")
    stopped = toy.start("stopped", *options)
    toy.wait(lambda: started(toy, "events.txt") >= 1)
    os.kill(stopped.pid, signal.SIGSTOP)
    held = toy.events()[-1].number
    other = toy.start("stopped", *options)
    toy.wait(lambda: sum(e.what == "end" for e in toy.events()) >= 5)
    time.sleep(3)  # several times the grace
    assert other.poll() is None  # it waits
    assert [e.number for e in toy.events() if e.what == "start"].count(held) == 1
    os.kill(stopped.pid, signal.SIGCONT)
    finish([stopped, other])
    assert len(toy.complete("stopped")) == 6
    assert set(Counter(e.number for e in toy.events() if e.what == "end").values()) == {1}
