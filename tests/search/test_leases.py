from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from src.search import leases
from src.search.leases import LEASE, Leases
from src.search.storage import open_storage


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(study_name="s", storage=open_storage(None, tmp_path))


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The present moment; waiting moves it."""
    now = [0.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(leases.time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    return now


def begun(study: optuna.Study, lease: dict | None) -> FrozenTrial:
    attrs = {} if lease is None else {LEASE: lease}
    trial = create_trial(state=TrialState.RUNNING, user_attrs=attrs)
    number = study._storage.create_new_trial(study._study_id, template_trial=trial)
    return study._storage.get_trial(number)


def latest(study: optuna.Study, trial: FrozenTrial) -> FrozenTrial:
    return study._storage.get_trial(trial._trial_id)


def test_own_and_foreign_trials_are_not_dead(study):
    own = Leases(study, grace=0)
    assert not own.dead(begun(study, own.mine()))
    assert not own.dead(begun(study, None))  # of another program


def test_a_process_of_this_machine_is_dead_when_it_is_gone(study, clock):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lease = {**Leases(study, grace=1).mine(), "pid": process.pid,
             "started": leases._started(process.pid)}  # fmt: skip
    trial, other = begun(study, lease), Leases(study, grace=1)
    clock[0] = 1e6
    assert not other.dead(trial)  # however long it is silent
    process.send_signal(signal.SIGSTOP)
    assert not other.dead(trial)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie: nobody waited for it
    assert other.dead(trial)
    process.communicate()
    assert other.dead(trial)
    # Its number given to another process
    assert other.dead(begun(study, {**lease, "pid": os.getpid()}))


def test_a_process_elsewhere_is_dead_when_it_gives_no_sign(study, clock):
    there, here = Leases(study, grace=60), Leases(study, grace=60)
    trial = begun(study, {**there.mine(), "machine": "another"})
    for beat in range(3):
        study._storage.set_trial_user_attr(
            trial._trial_id, LEASE, {**there.mine(beat), "machine": "another"}
        )
        assert not here.dead(latest(study, trial))  # the first look cannot tell
        clock[0] += 59
        assert not here.dead(latest(study, trial))
    clock[0] += 2
    assert here.dead(latest(study, trial))


def test_machines_without_proc_give_signs(study, clock, monkeypatch):
    there = {**Leases(study, grace=60).mine(), "machine": None, "started": None}
    monkeypatch.setattr(leases, "_machine", lambda: None)
    here, trial = Leases(study, grace=60), begun(study, there)
    assert not here.dead(trial)
    clock[0] = 61
    assert here.dead(trial)


def gone(study: optuna.Study) -> FrozenTrial:
    """A trial whose process is dead."""
    return begun(study, {**Leases(study, grace=0).mine(), "started": 1})


def test_one_of_two_takes_over(study, clock):
    trial, first, second = gone(study), Leases(study, grace=0), Leases(study, grace=0)
    assert first.take_over(trial)
    assert latest(study, trial).user_attrs[LEASE]["worker"] == first.name
    assert not second.take_over(trial)  # although it saw the dead one's lease


def test_the_later_of_two_at_the_same_moment_takes_over(study, monkeypatch):
    trial, first, second = gone(study), Leases(study, grace=0), Leases(study, grace=0)
    taken = []

    def meanwhile(seconds: float) -> None:  # both saw the dead one's lease
        monkeypatch.setattr(leases.time, "sleep", lambda seconds: None)
        monkeypatch.setattr(second, "dead", lambda trial: True)
        taken.append(second.take_over(trial))

    monkeypatch.setattr(leases.time, "sleep", meanwhile)
    assert not first.take_over(trial)
    assert taken == [True]


def test_signs_of_life_while_held(study, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.02)
    own = Leases(study, grace=1)
    trials = [begun(study, own.mine()), begun(study, own.mine())]
    study._storage.set_trial_state_values(trials[1]._trial_id, TrialState.COMPLETE, [0.0])
    with own.held(trials):
        beats = set()
        while len(beats) < 3:
            beats.add(latest(study, trials[0]).user_attrs[LEASE]["beat"])
    last = latest(study, trials[0]).user_attrs[LEASE]["beat"]
    assert last >= 2
    assert latest(study, trials[1]).user_attrs[LEASE]["beat"] == 0  # it has ended
    with own.held([]):
        pass
    assert latest(study, trials[0]).user_attrs[LEASE]["beat"] == last
