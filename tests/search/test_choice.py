from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from src.search.choice import choose, worst

SPACE = {"rate": FloatDistribution(0, 1), "width": FloatDistribution(0, 1)}
MINIMIZE, MAXIMIZE = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE


def made(number: int, point, *values: float, state=TrialState.COMPLETE, **attrs) -> FrozenTrial:
    trial = create_trial(
        state=state,
        params=dict(zip(SPACE, map(float, point), strict=True)),
        distributions=SPACE,
        values=list(values) or None,
        user_attrs=attrs,
    )
    trial.number = number
    return trial


def bowl(x: np.ndarray) -> np.ndarray:
    return 4 * ((x - (0.3, 0.6)) ** 2).sum(axis=-1)


def noisy(seed: int, deviation: float) -> tuple[list[FrozenTrial], np.ndarray]:
    """Thirty trials of the bowl, and what each is worth without noise."""
    rng = np.random.default_rng(seed)
    x = rng.random((30, 2))
    y = bowl(x) + rng.normal(0, deviation, 30)
    trials = [made(i, point, value) for i, (point, value) in enumerate(zip(x, y, strict=True))]
    return trials, bowl(x)


def test_the_luckiest_is_not_the_best():
    chosen, luckiest, differing = 0.0, 0.0, 0
    for seed in range(20):
        trials, worth = noisy(seed, 0.3)
        lucky = min(trials, key=lambda trial: trial.value).number
        best = choose(trials, SPACE, direction=MINIMIZE).trial.number
        chosen, luckiest = chosen + worth[best], luckiest + worth[lucky]
        differing += best != lucky
    assert differing >= 8
    assert chosen < 0.8 * luckiest


def test_says_what_is_believed_of_each_trial():
    trials, worth = noisy(0, 0.3)
    choice = choose(trials, SPACE, direction=MINIMIZE)
    assert choice.means[choice.trial.number] == min(choice.means.values())
    assert set(choice.means) == set(choice.deviations) == set(range(30))
    errors = np.array([choice.means[number] - worth[number] for number in range(30)])
    assert np.sqrt(np.mean(errors**2)) < 0.25  # of values with noise 0.3
    assert all(0 < deviation < 0.3 for deviation in choice.deviations.values())


def test_maximizing_is_minimizing_upside_down():
    trials, _ = noisy(1, 0.5)
    flipped = [made(t.number, t.params.values(), -t.value) for t in trials]
    down = choose(trials, SPACE, direction=MINIMIZE)
    up = choose(flipped, SPACE, direction=MAXIMIZE)
    assert up.trial.number == down.trial.number
    assert np.allclose([*up.means.values()], [-mean for mean in down.means.values()], atol=1e-3)


def test_only_what_was_measured_counts():
    trials, _ = noisy(2, 0.5)
    want = choose(trials, SPACE, direction=MINIMIZE)
    others = [
        made(30, (0.5, 0.5), state=TrialState.FAIL),
        made(31, (0.5, 0.5), -9.0, state=TrialState.PRUNED),
        made(32, (0.5, 0.5), -np.inf),
        made(33, trials[4].params.values(), trials[4].value, cached_from=4),
    ]
    got = choose([*trials, *others], SPACE, direction=MINIMIZE)
    assert got.trial.number == want.trial.number
    assert got.means == want.means


def test_an_answer_of_another_search_counts():
    trials = [made(i, (0.1 * i, 0.5), float(i), cached_from=90) for i in range(5)]
    assert set(choose(trials, SPACE, direction=MINIMIZE).means) == set(range(5))


def test_a_diverged_trial_does_not_hide_the_others():
    trials, _ = noisy(3, 0.1)
    want = choose(trials, SPACE, direction=MINIMIZE)
    got = choose([*trials, made(30, (0.9, 0.9), 1e9)], SPACE, direction=MINIMIZE)
    assert got.trial.number == want.trial.number
    assert got.means[got.trial.number] == pytest.approx(want.means[want.trial.number], abs=0.05)


@pytest.mark.parametrize(
    ("losses", "largest"),
    [
        ([1.0, 2.0, 7.0], 7.0),  # at the fence
        ([1.0, 1.5, 2.0, 2.5, 7.5], 2.5),
        ([1.0, 1.0, 1.0, 9.0], 9.0),  # nothing says how much losses differ
        ([4.0], 4.0),
    ],
)
def test_worst(losses, largest):
    assert worst(np.array(losses)) == largest


@pytest.mark.parametrize(("direction", "number"), [(MINIMIZE, 1), (MAXIMIZE, 0)])
def test_few_trials_are_taken_at_their_word(direction, number):
    trials = [made(0, (0, 0), 2.0), made(1, (1, 1), 1.0), made(2, (0, 1), state=TrialState.FAIL)]
    choice = choose(trials, SPACE, direction=direction)
    assert choice.trial.number == number
    assert choice.means == {0: 2.0, 1: 1.0}
    assert np.isnan([*choice.deviations.values()]).all()


def test_the_first_of_several_objectives():
    trials = [made(i, (i / 9, 0.5), (i - 3) ** 2, (i - 7) ** 2) for i in range(10)]
    assert choose(trials, SPACE, direction=MINIMIZE).trial.number == 3


def test_nothing_to_choose_from():
    with pytest.raises(
        ValueError, match="at least one complete trial to choose from, got none of 1"
    ):
        choose([made(0, (0, 0), state=TrialState.FAIL)], SPACE, direction=MINIMIZE)
