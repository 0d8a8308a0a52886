"""Searches that are killed at any moment: the same command ends with the study of a whole run."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import Any

import pytest
from optuna.trial import FrozenTrial

pytestmark = pytest.mark.slow

KILLS = 20
OPTIONS = ("hydra/sweeper/sampler=tpe", "hydra.sweeper.design=4", "hydra.sweeper.n_trials=12",
           "seconds=0.15")  # fmt: skip


def content(trials: list[FrozenTrial]) -> list[tuple[Any, ...]]:
    """What must not depend on kills."""
    return [(t.number, t.state, t.params, t.values, t.user_attrs.get("design")) for t in trials]


def ended(toy, study: str) -> set[int]:
    """Numbers of the trials whose results are there."""
    return {int(file.parent.name) for file in toy.sweep(study).glob("*/objective.json")}


def trying(toy, process: Any, events: str, start: float) -> bool:
    """Whether a process has begun a trial, or has ended."""
    return process.poll() is not None or any(e.moment > start for e in toy.events(events))


def killed(toy, study: str, rng: random.Random, kills: int) -> int:
    """Run a study to its end with up to ``kills`` kills; how many there were."""
    events, done = f"{study}.txt", 0
    while True:
        before, start = ended(toy, study), time.time()
        process = toy.start(study, *OPTIONS, f"events={events}")
        if done == kills:
            process.wait(timeout=120)
        elif rng.random() < 0.8:  # while trials run, or as the search ends
            toy.wait(partial(trying, toy, process, events, start))
            time.sleep(rng.uniform(0, 0.5))
        else:
            time.sleep(rng.uniform(0, 1.5))
        code = process.poll()
        toy.kill(process)
        again = {e.number for e in toy.events(events) if e.what == "start" and e.moment > start}
        assert not again & before, "finished trials were run again"
        if code is not None:
            assert code == 0
            return done
        done += 1


def test_ends_as_if_never_killed(toy):
    toy.run("whole", *OPTIONS, "events=whole.txt")
    want = content(toy.complete("whole"))
    assert [number for number, *_ in want] == list(range(12))
    rng = random.Random(0)
    kills, resumed, studies = 0, 0, []
    while kills < KILLS:
        study = f"killed {len(studies)}"  # with a space: a name like any other
        kills += killed(toy, study, rng, KILLS - kills)
        studies.append(study)
        assert content(toy.complete(study)) == want
        assert ended(toy, study) == set(range(12))
        resumed += sum(e.step > 0 for e in toy.events(f"{study}.txt"))
    assert resumed  # of the trials that were killed between two of their steps
