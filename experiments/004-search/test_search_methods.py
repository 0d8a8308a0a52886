"""The parts of the comparison of searches: stand-in, counting, the published scheme."""

from __future__ import annotations

import csv

import numpy as np
import optuna
import pytest
from bfpgm import penalty, score
from bfpgm import search as published
from search_methods import (
    Method,
    along_segment,
    best_known,
    in_box,
    on_segment,
    on_surface,
    random,
    run,
    tpe,
)
from search_methods import main as compare
from search_problem import PruningProblem, Trials
from surrogate import FITS, Table, cross_validated, read_table

from src.models.channels import GROUPS

NOISE = 0.01


def damage(points):
    """Losses [...] at points [..., 6]: all rates harm, the late backbone most."""
    return 3 + 0.25 * points[..., 1] ** 3 + 0.1 * points[..., 0] ** 2 + 0.05 * points[..., 3]


@pytest.fixture(scope="module")
def problem():
    return PruningProblem(damage, NOISE)


# The stand-in


def table_of(points, losses):
    return Table(points, losses, np.zeros(len(points)), np.arange(len(points)))


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_stand_in_reproduces_its_table_within_the_noise(fit):
    rng = np.random.default_rng(0)
    points, others = rng.random((100, 6)), rng.random((100, 6))
    losses = damage(points) + rng.normal(0, NOISE, 100)
    found = fit(points, losses)
    assert np.sqrt(np.mean((found(points) - losses) ** 2)) < 1.2 * NOISE
    assert np.sqrt(np.mean((found(others) - damage(others)) ** 2)) < 1.2 * NOISE
    quality = cross_validated(fit, points, table_of(points, losses))
    assert NOISE < quality.error < 2 * NOISE
    assert quality.explained > 0.9


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_stand_in_says_when_there_is_nothing_to_learn(fit):
    rng = np.random.default_rng(0)
    points, losses = rng.random((80, 6)), rng.normal(0, NOISE, 80)
    assert cross_validated(fit, points, table_of(points, losses)).explained < 0.1


def test_repeated_trials_are_left_out_together():
    points = np.repeat(np.random.default_rng(0).random((20, 2)), 2, axis=0)
    table = Table(points, np.arange(40.0) // 2, np.zeros(40), np.arange(40) // 2)
    seen = []

    def remember(points, losses):
        seen.append({tuple(point) for point in points})
        return lambda others: np.array([float(tuple(point) in seen[-1]) for point in others])

    cross_validated(remember, points, table)
    assert len(seen) == 10
    assert all(len(each) == 18 for each in seen)


def write_table(file, rows):
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)


def test_trials_of_one_plan_tell_the_noise(tmp_path):
    file = tmp_path / "table.csv"
    rows = [["a", "parameters", "loss", "seed"], [0.2, 9, 5.0, 0], [0.1, 10, 1.0, 0]]
    write_table(file, [*rows, [0.2, 9, 5.2, 1]])
    table = read_table(file, ["a"])
    np.testing.assert_array_equal(table.losses, [5.0, 1.0, 5.2])
    np.testing.assert_array_equal(table.plans, [1, 0, 1])
    assert table.deviation == pytest.approx(np.sqrt(2 * 0.1**2))
    write_table(file, rows)
    assert np.isnan(read_table(file, ["a"]).deviation)
    with pytest.raises(ValueError, match="expected the columns b"):
        read_table(file, ["b"])


# The problem


def where(problem, rates):
    """What the loss depends on."""
    return problem.realised(np.array(problem.surface.kept(rates)))


def test_noise_belongs_to_seed_and_widths(problem):
    rates = problem.uniform(0.5)
    first, again, other = (problem.evaluate(rates, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.loss == other.loss == pytest.approx(damage(where(problem, rates)))
    assert first.observed != other.observed
    noise = [problem.evaluate(rates, seed=seed).observed - first.loss for seed in range(200)]
    assert np.std(noise) == pytest.approx(NOISE, rel=0.2)


def test_plans_of_the_same_widths_are_one(problem):
    rates = problem.uniform(0.5)
    near = {name: rate + 1e-6 for name, rate in rates.items()}
    assert problem.surface.kept(near) == problem.surface.kept(rates)
    assert problem.evaluate(near, seed=0).observed == problem.evaluate(rates, seed=0).observed
    np.testing.assert_allclose(where(problem, rates), problem.point(rates), atol=0.2)
    assert (where(problem, problem.rates(np.ones(6))) > 0.8).all()


def test_many_points_at_once(problem):
    points = np.random.default_rng(0).random((4, 6))
    parameters, losses = problem.tabulate(points)
    plans = [problem.evaluate(problem.rates(point), seed=0) for point in points]
    assert parameters.tolist() == [plan.parameters for plan in plans]
    np.testing.assert_allclose(losses, [plan.loss for plan in plans])


def test_best_known_is_within_the_budget_and_hard_to_beat(problem):
    best = best_known(problem)
    assert best.parameters <= problem.budget
    assert best.loss < problem.loss(problem.surface.uniform()) - 0.02


def test_uniform_plan_is_the_largest_within(problem):
    rates = problem.uniform(0.5)
    shares = problem.point(rates)
    assert np.ptp(shares) < 1e-9
    assert problem.surface.parameters(rates) <= problem.budget
    assert problem.surface.parameters(problem.rates(shares - 1e-6)) > problem.budget


def test_segment_ends_at_the_budget(problem):
    rng = np.random.default_rng(0)
    for place in [*rng.random((5, 6)), np.zeros(6), np.ones(6)]:
        rates = along_segment(problem, problem.rates(place))
        moved = problem.point(rates)
        assert 0.98 * problem.budget < problem.surface.parameters(rates) <= problem.budget
        corner = np.full(
            6, float(problem.surface.parameters(problem.rates(place)) > problem.budget)
        )
        way = (moved - place)[corner != place] / (corner - place)[corner != place]
        np.testing.assert_allclose(way, way[0], atol=1e-6)


# The published scheme


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        (0.50, 0.0),
        (0.52, 0.0),
        (0.5399, 0.0),
        (0.541, 100.0),  # too much is as bad as too little
        (0.459, 100.0),
        (0.48, 0.02),  # a little short: by how much
        (0.4999, 0.0001),
    ],
)
def test_penalty_as_published(reduction, expected):
    assert penalty(reduction, 0.5) == pytest.approx(expected)


def test_score_as_published():
    assert score(3.0, 0.51, 0.5) == -3.0
    assert score(3.0, 0.48, 0.5) == pytest.approx(-3.1)
    assert score(3.0, 0.60, 0.5) == -500.0  # whatever the loss: it was not trained


def test_published_search_starts_in_its_band_and_learns_it(problem):
    trials = Trials(problem, 80, seed=0)
    choice = published(trials, seed=0)
    first = trials.plans[0]
    assert 0.50 <= 1 - first.parameters / problem.dense < 0.54
    assert choice[0] == 0
    for plan in trials.plans:
        reduction = 1 - plan.parameters / problem.dense
        assert plan.trained == (penalty(reduction, 0.5) < 100)
    in_band = [0.46 < 1 - plan.parameters / problem.dense < 0.54 for plan in trials.plans]
    assert np.mean(in_band[40:]) > 0.35  # at random about a fifth
    assert trials.plans[choice[-1]].parameters <= problem.budget


# Methods


@pytest.mark.parametrize(
    ("search", "number"),
    [
        (on_surface(random), 12),
        (on_surface(tpe), 12),
        (on_surface(random, posterior_mean=True), 12),
        (on_segment(random), 12),
        (in_box(tpe), 12),
        (published, 12),
        (published, 3),
    ],
)
def test_a_method_uses_its_evaluations(problem, search, number):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = run(Method("a", number, search), problem, seed=1)
    again = run(Method("a", number, search), problem, seed=1)
    assert len(found.curve) == number
    assert found.curve[-1] == found.chosen.loss
    assert found.chosen.parameters <= problem.budget
    assert 0 < found.within <= found.trained <= number
    np.testing.assert_array_equal(found.curve, again.curve)  # a seed repeats


def test_luckiest_ignores_what_is_over_the_budget(problem):
    trials = Trials(problem, 3, seed=0)
    trials(problem.rates(np.zeros(6)))  # the best, but dense
    trials(problem.uniform(0.4))
    trials(problem.uniform(0.5))
    assert trials.luckiest() == [None, 1, 2]
    with pytest.raises(AssertionError, match="more evaluations"):
        trials(problem.uniform(0.5))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([100, 100], "expected a table of Nano-B Enhanced"),
        ([100], "expected some plans more than once"),
    ],
)
def test_tables_that_are_refused(tmp_path, monkeypatch, parameters, message):
    file = tmp_path / "a.csv"
    names = [*(f"rate_{name}" for name in GROUPS), "parameters", "loss"]
    write_table(file, [names, *([*[0.2] * 6, number, 3.0] for number in parameters)])
    arguments = ["search_methods.py", "--table", str(file), "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(ValueError, match=message):
        compare()
