from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import RandomSampler
from optuna.trial import Trial, TrialState, create_trial

from src.search import SearchSampler, study
from src.search.job import Result, read_result
from src.search.leases import LEASE, Leases
from src.search.study import CACHED, ERROR, WITHDRAWN, Trials, open_study

SPACE = {"x": FloatDistribution(0, 1), "kind": CategoricalDistribution(("a", "b"))}


class Coarse:
    """All points may be tried; tenths of x tell them apart."""

    solved = "x"

    def __init__(self, parts: int = 10) -> None:
        self.parts = parts

    def probe(self) -> dict[str, Any]:
        return {"x": 0.5}

    def project(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return dict(params)

    def key(self, params: Mapping[str, Any]) -> Any:
        return min(int(params["x"] * self.parts), self.parts - 1)

    def facts(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"tenth": self.key(params)}


def opened(folder: Path, *, feasible=None, directions=("minimize",), **settings: str):
    sampler = SearchSampler(
        lambda seed: RandomSampler(seed=seed), SPACE, design=2, feasible=feasible
    )
    return open_study(
        "s", storage=None, folder=folder, directions=directions, sampler=sampler, settings=settings
    )


def process(folder: Path, *, n_trials=3, max_failures=1, feasible=None, **options) -> Trials:
    """What another process on the same study would have."""
    own = opened(folder, feasible=feasible, **options)
    return Trials(
        own, SPACE, n_trials=n_trials, max_failures=max_failures,
        leases=Leases(own, grace=60), feasible=feasible,
    )  # fmt: skip


def die(trials: Trials, trial: Trial) -> None:
    """Make the process of a trial one that is gone."""
    lease = {**trials.leases.mine(), "started": 1}
    trials.study._storage.set_trial_user_attr(trial._trial_id, LEASE, lease)


def done(value: float = 0.0, **attributes: Any) -> Result:
    return Result([value], attributes, {}, False)


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr("src.search.leases.SETTLE", 0.0)


def test_as_many_as_wanted(tmp_path):
    trials = process(tmp_path)
    first = trials.next(2)
    assert [t.number for t in first] == [0, 1]
    (last,) = trials.next(2)
    assert trials.next(2) == []
    assert trials.others_at_work()
    for trial in [*first, last]:
        assert trials.tell(trial, done(1.0))
    assert trials.next(2) == []
    assert not trials.others_at_work()
    assert [t.number for t in process(tmp_path, n_trials=5).next(9)] == [3, 4]  # raised later


def test_a_failed_one_is_replaced(tmp_path):
    trials = process(tmp_path, n_trials=1)
    assert trials.tell(trials.next(1)[0], "expected this, got that")
    (failed,) = trials.failed()
    assert (failed.state, failed.user_attrs[ERROR]) == (TrialState.FAIL, "expected this, got that")
    (other,) = trials.next(1)
    assert other.number == 1
    trials.tell(other, "again")
    with pytest.raises(
        ValueError, match=r"at most 1 failed trials, got 2, .*\(trial 1\) by: again"
    ):
        trials.next(1)
    assert [t.number for t in process(tmp_path, n_trials=1, max_failures=2).next(1)] == [2]


def test_dead_trials_come_first_with_their_points(tmp_path):
    trials = process(tmp_path)
    first, second = trials.next(2)
    die(trials, second)
    (taken, new) = process(tmp_path).next(2)
    assert (taken.number, taken.params) == (1, second.params)
    assert new.number == 2
    assert trials.next(1) == []
    # Whoever is first says what came of it.
    assert trials.tell(taken, done(1.0))
    assert not trials.tell(second, done(2.0))
    assert trials.study.trials[1].values == [1.0]
    assert trials.tell(first, done())


@pytest.mark.parametrize("known", [0, 1, 2])
def test_killed_while_it_got_its_point(tmp_path, known):
    want = process(tmp_path / "whole").next(3)[2].params
    trials = process(tmp_path / "killed")
    trials.next(2)
    died = create_trial(state=TrialState.RUNNING, user_attrs={LEASE: trials.leases.mine()})
    storage = trials.study._storage
    number = storage.create_new_trial(trials.study._study_id, template_trial=died)
    trial = Trial(trials.study, number)
    for name in list(SPACE)[:known]:
        trial._suggest(name, SPACE[name])
    die(trials, trial)
    (taken,) = process(tmp_path / "killed").next(1)
    assert (taken.number, taken.params) == (2, want)


def test_withdraws_when_others_were_faster(tmp_path, monkeypatch):
    slow, fast = process(tmp_path, n_trials=1), process(tmp_path, n_trials=1)
    monkeypatch.setattr(slow, "_due", lambda: True)  # it looked a moment ago
    (trial,) = fast.next(1)
    assert slow.next(1) == []
    fast.tell(trial, done())
    withdrawn = fast.study.trials[1]
    assert (withdrawn.state, withdrawn.user_attrs[WITHDRAWN]) == (TrialState.FAIL, True)
    assert fast.failed() == []
    assert len(fast.finished()) == 1


def test_killed_before_it_withdrew(tmp_path, monkeypatch):
    slow, fast = process(tmp_path, n_trials=1), process(tmp_path, n_trials=1)
    (trial,) = fast.next(1)
    died = create_trial(state=TrialState.RUNNING, user_attrs={LEASE: slow.leases.mine()})
    number = slow.study._storage.create_new_trial(slow.study._study_id, template_trial=died)
    die(slow, Trial(slow.study, number))
    fast.tell(trial, done())
    assert process(tmp_path, n_trials=1).next(1) == []
    assert len(fast.finished()) == 1


def test_equal_points_are_answered(tmp_path):
    feasible = Coarse(2)
    trials = process(tmp_path, n_trials=9, feasible=feasible)
    for _ in range(9):
        for trial in trials.next(1):
            trials.tell(trial, done(trial.params["x"], seconds=1.0))
    assert trials.exhausted  # there are two points
    assert len(trials.finished()) == 2
    assert [t.number for t in trials.failed()] == []
    answered = [t for t in trials.study.trials if CACHED in t.user_attrs]
    assert answered
    by_number = {t.number: t for t in trials.study.trials}
    for trial in answered:
        original = by_number[trial.user_attrs[CACHED]]
        assert trial.values == original.values
        assert feasible.key(trial.params) == feasible.key(original.params)
        assert trial.user_attrs["seconds"] == 1.0
        assert trial.user_attrs["tenth"] == feasible.key(trial.params)


def test_what_is_told(tmp_path):
    trials = process(tmp_path, n_trials=9)
    first, second, third = trials.next(3)
    trials.tell(first, Result([1.5], {"widths": [{"before": 8}]}, {"size": -1.0}, False))
    trials.tell(second, Result([], {"seconds": 2.0}, {}, True))
    trials.tell(third, Result([1.0, 2.0], {}, {}, False))
    found = trials.study.trials
    assert found[0].values == [1.5]
    assert found[0].user_attrs["widths"] == [{"before": 8}]
    assert dict(found[0].constraints) == {"size": -1.0}
    assert found[0].user_attrs["design"] == "probe"
    assert (found[1].state, found[1].user_attrs["seconds"]) == (TrialState.PRUNED, 2.0)
    assert "expected 1 objectives, one per direction, got 2" in found[2].user_attrs[ERROR]
    assert len(trials.finished()) == 2


@pytest.mark.parametrize(
    ("returned", "want"),
    [
        (1, Result([1.0], {}, {}, False)),
        ([1, 2.5], Result([1.0, 2.5], {}, {}, False)),
        ({"objective": 1, "attributes": {"a": [1]}, "constraints": {"c": 0}},
         Result([1.0], {"a": [1]}, {"c": 0.0}, False)),
        ({"objective": [], "given_up": True}, Result([], {}, {}, True)),
        ({"given_up": True}, Result([], {}, {}, True)),
        # objective.json of a search begun before the key was renamed
        ({"objective": [], "attributes": {}, "constraints": {}, "pruned": True},
         Result([], {}, {}, True)),
    ],
)  # fmt: skip
def test_results(returned, want):
    assert read_result(returned) == want


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "expected a number or a list of them as the objective of a trial, got None"),
        ("1", "expected a number"),
        ({"loss": 1}, "expected a number"),
        ([1, None], "expected a number"),
        (float("nan"), "expected a finite objective of a trial, got nan"),
        ([1, float("inf")], "expected a finite objective"),
    ],
)
def test_what_is_no_result(returned, message):
    with pytest.raises(ValueError, match=message):
        read_result(returned)


def test_settings_must_stay(tmp_path):
    opened(tmp_path, seed="0", lr="1e-3")
    opened(tmp_path, seed="0", lr="1e-3")
    with pytest.raises(ValueError, match=r"study 's' was begun, got others \(seed: 0, now 1\)"):
        opened(tmp_path, seed="1", lr="1e-3")
    with pytest.raises(ValueError, match=r"\(lr: 1e-3, now None\)"):
        opened(tmp_path, seed="0")
    many = {f"key{i}": "new" for i in range(6)}
    with pytest.raises(ValueError, match="and 2 more"):
        opened(tmp_path, seed="0", lr="1e-3", **many)


def test_other_directions(tmp_path):
    opened(tmp_path)
    with pytest.raises(ValueError, match="directions: minimize, now maximize"):
        opened(tmp_path, directions=("maximize",))


def test_another_programs_study(tmp_path):
    foreign = optuna.create_study(
        study_name="s", storage=study.open_storage(None, tmp_path), direction="minimize"
    )
    foreign.tell(foreign.ask(), 0.0)
    with pytest.raises(ValueError, match="got 's' with trials of another program"):
        opened(tmp_path)


def test_two_begin_it_at_the_same_moment(tmp_path, monkeypatch):
    """One has begun and tried a point between the two looks of the other, on another machine."""
    monkeypatch.setattr(study, "alone_in", lambda folder: nullcontext())
    plain = optuna.Study.user_attrs.fget
    assert plain is not None

    def then_the_other(self):
        found = dict(plain(self))
        monkeypatch.setattr(optuna.Study, "user_attrs", property(plain))
        process(tmp_path).next(1)
        return found

    monkeypatch.setattr(optuna.Study, "user_attrs", property(then_the_other))
    opened(tmp_path)


def test_of_two_that_begin_a_study_at_once_one_decides(tmp_path):
    def begin(barrier, folder, seed):
        barrier.wait()
        try:
            opened(folder, seed=seed)
        except ValueError as error:
            return str(error)
        return ""

    for attempt in range(10):
        barrier = threading.Barrier(2)
        folder = tmp_path / str(attempt)
        with ThreadPoolExecutor(2) as pool:
            said = [pool.submit(begin, barrier, folder, seed) for seed in "01"]
            refused = [each.result() for each in said if each.result()]
        assert len(refused) == 1, refused
        assert "was begun, got others (seed:" in refused[0]
