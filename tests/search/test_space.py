from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from src.search.space import Space, search_space


def space(*overrides: str) -> Space:
    return search_space(OverridesParser.create().parse_overrides(list(overrides)))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("interval(0,1)", FloatDistribution(0, 1)),  # whole ends do not make whole numbers
        ("interval(1e-4,1e-2)", FloatDistribution(1e-4, 1e-2)),
        ("tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("int(interval(1,9))", IntDistribution(1, 9)),
        ("int(interval(1.0,9.0))", IntDistribution(1, 9)),
        ("tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("range(1,9,2)", IntDistribution(1, 7, step=2)),  # without the end, as Hydra's own
        ("range(1,10,2)", IntDistribution(1, 9, step=2)),
        ("range(3)", IntDistribution(0, 2)),
        ("range(0.0,1.0,0.25)", FloatDistribution(0, 0.75, step=0.25)),
        ("range(0,1,0.25)", FloatDistribution(0, 0.75, step=0.25)),
        ("choice(a,b)", CategoricalDistribution(("a", "b"))),
        ("a,b", CategoricalDistribution(("a", "b"))),
        ("1,2.5,null", CategoricalDistribution(("1", "2.5", "null"))),  # typed as on a command line
        ("[1,2],[3]", CategoricalDistribution(("[1,2]", "[3]"))),
        ("'a b','c'", CategoricalDistribution(("'a b'", "'c'"))),
    ],
)
def test_sweeps(text, want):
    assert space(f"key={text}").distributions == {"key": want}


def test_what_does_not_vary_is_fixed_as_typed():
    found = space("a.b=interval(0.5,1.5)", "data=synthetic", "+c='x y'", "~d", "kd=none,weighted")
    assert list(found.distributions) == ["a.b", "kd"]
    assert found.fixed == ("data=synthetic", "+c='x y'", "~d=null")  # as Hydra writes it


def test_the_last_of_several_counts():
    found = space("a=interval(0.0,1.0)", "b=1,2", "a=interval(0.0,0.5)", "b=3")
    assert found == Space({"a": FloatDistribution(0, 0.5)}, ("b=3",))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["a=1"], "expected settings to search, got none; add such as"),
        ([], "expected settings to search, got none"),
        (["a=interval(1.0,0.0)"], r"expected a range with values for a, got a=interval\(1.0,0.0\)"),
        (["a=range(3,1)"], "expected a range with values for a"),
        (["a=tag(log,interval(0.0,1.0))"], "expected a range with values for a"),
        (["a=glob(*)"], "expected interval, range or choice for a"),
    ],
)
def test_what_cannot_be_searched(overrides, message):
    with pytest.raises(ValueError, match=message) as error:
        space(*overrides)
    assert "\n" not in str(error.value)
