from __future__ import annotations

import math

import pytest
from scipy import stats

from src.comparison.intervals import difference, spread


def test_spread_by_hand():
    # Squares of the distances to 2.5: 2.25 + 0.25 + 0.25 + 2.25 = 5, over n - 1 = 3.
    assert spread([1, 2, 3, 4]) == pytest.approx((2.5, math.sqrt(5 / 3), 4))


def test_one_seed_has_no_deviation():
    mean, deviation, num = spread([0.5])
    assert (mean, num) == (0.5, 1)
    assert math.isnan(deviation)


def test_same_seeds_are_paired():
    # Changes 2, 1 and 4: mean 7/3, variance 42/18, and t of 2 degrees of freedom is 4.302653.
    found = difference({0: 3, 1: 5, 2: 7}, {2: 3, 1: 4, 0: 1})
    assert found.kind == "paired"
    assert found.mean == pytest.approx(7 / 3)
    assert found.half_width == pytest.approx(4.302653 * math.sqrt(42 / 18 / 3), rel=1e-6)


def test_what_a_seed_does_to_both_cancels():
    found = difference({0: 0.5, 1: 0.75}, {0: 0.25, 1: 0.5})
    assert found == (0.25, 0.0, "paired")


@pytest.mark.parametrize("base", [{3: 2, 4: 4, 5: 6, 6: 8}, {0: 2, 1: 4, 2: 6, 6: 8}])
def test_other_seeds_are_not_paired(base):
    # Squared errors 1/3 and 20/3/4, together 2; freedom 2² / ((1/3)²/2 + (5/3)²/3) = 4.075472.
    found = difference({0: 1, 1: 2, 2: 3}, base)
    assert found.kind == "unpaired"
    assert found.mean == -3
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 4.0754717) * math.sqrt(2))
    independent = stats.ttest_ind([1, 2, 3], [2, 4, 6, 8], equal_var=False).confidence_interval()
    assert (independent.high - independent.low) / 2 == pytest.approx(found.half_width)


def test_unpaired_without_any_spread():
    assert difference({0: 3, 1: 3}, {2: 1, 3: 1}) == (2, 0, "unpaired")


@pytest.mark.parametrize("base", [{0: 1}, {1: 1}, {1: 1, 2: 2}])
def test_one_seed_has_no_uncertainty(base):
    found = difference({0: 3}, base)
    assert found.kind == "none"
    assert math.isnan(found.half_width)
    assert found.mean == 3 - sum(base.values()) / len(base)
