from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from src.search.coordinates import from_unit, to_unit

SPACE = {
    "rate": FloatDistribution(0.1, 0.6),
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "part": FloatDistribution(0, 0.75, step=0.25),
    "layers": IntDistribution(1, 9, step=2),
    "width": IntDistribution(1, 64, log=True),
    "kind": CategoricalDistribution(("a", "b", "c")),
    "only": CategoricalDistribution(("x",)),
    "fixed": FloatDistribution(2, 2),
}

cubes = st.lists(st.floats(0, 1), min_size=len(SPACE), max_size=len(SPACE))


@given(cubes)
def test_points_of_the_cube_lie_in_the_space(point):
    params = from_unit(SPACE, point)
    assert list(params) == list(SPACE)
    for name, distribution in SPACE.items():
        assert distribution._contains(distribution.to_internal_repr(params[name])), name


@given(cubes)
def test_there_and_back(point):
    params = from_unit(SPACE, point)
    place = to_unit(SPACE, params)
    assert ((place >= 0) & (place <= 1)).all()
    for name, value in from_unit(SPACE, place).items():
        known = params[name]
        assert value == (pytest.approx(known, rel=1e-9) if isinstance(known, float) else known), (
            name
        )


def test_the_cube_in_the_order_of_the_space():
    params = {**from_unit(SPACE, [0.5] * 8), "rate": 0.6, "lr": 1e-3, "layers": 3, "kind": "c"}
    place = to_unit(SPACE, dict(reversed(params.items())))
    assert place[[0, 1, 3, 5]] == pytest.approx([1, 0.5, 0.25, 1])
    assert place[[6, 7]] == pytest.approx([0.5, 0.5])  # nothing to choose from: the middle


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (IntDistribution(1, 9, step=2), [1, 3, 5, 7, 9]),
        (IntDistribution(0, 1), [0, 1]),
        (FloatDistribution(0, 0.75, step=0.25), [0, 0.25, 0.5, 0.75]),
        (CategoricalDistribution(("a", "b", "c")), ["a", "b", "c"]),
    ],
)
def test_equal_shares_of_the_cube(distribution: BaseDistribution, values):
    count = 60 * len(values)
    places = (np.arange(count) + 0.5) / count
    found = Counter(from_unit({"x": distribution}, [place])["x"] for place in places)
    assert found == dict.fromkeys(values, 60)


def test_whole_numbers_even_in_the_logarithm():
    space = {"x": IntDistribution(1, 100, log=True)}
    values = [from_unit(space, [place])["x"] for place in np.linspace(0, 1, 1001)]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (1, 100)
    assert all(isinstance(value, int) for value in values)
    assert sum(value <= 10 for value in values) > 500  # about half of the cube


def test_points_of_other_spaces():
    with pytest.raises(ValueError, match="shorter"):
        from_unit(SPACE, [0.5])
