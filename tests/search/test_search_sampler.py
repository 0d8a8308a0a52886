from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import Study

from src.search import SearchSampler

SPACE = {
    "x": FloatDistribution(0, 1),
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "n": IntDistribution(1, 4),
    "kind": CategoricalDistribution(("a", "b")),
}
PLANE = {name: FloatDistribution(0, 1) for name in ("x", "y", "z")}
MAKES = {
    "gp": lambda seed: GPSampler(seed=seed, n_startup_trials=1),
    "tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=1),
    "random": lambda seed: RandomSampler(seed=seed),
    "nsgaii": lambda seed: NSGAIISampler(seed=seed, population_size=4),
}


class Simplex:
    """x + y + z = 1.5; points are the same where they agree to tenths."""

    solved = "z"

    def probe(self) -> dict[str, Any]:
        return dict.fromkeys(PLANE, 0.5)

    def project(self, params: Mapping[str, Any]) -> dict[str, Any]:
        z = min(max(1.5 - params["x"] - params["y"], 0.0), 1.0)
        scale = (1.5 - z) / (params["x"] + params["y"] or 1)
        return {"x": min(params["x"] * scale, 1.0), "y": min(params["y"] * scale, 1.0), "z": z}

    def key(self, params: Mapping[str, Any]) -> Any:
        return round(params["x"], 1), round(params["y"], 1)

    def facts(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"sum": sum(params.values())}


def suggest(trial: optuna.Trial, space) -> dict[str, Any]:
    for name, d in space.items():
        if isinstance(d, FloatDistribution):
            trial.suggest_float(name, d.low, d.high, log=d.log)
        elif isinstance(d, IntDistribution):
            trial.suggest_int(name, d.low, d.high)
        else:
            trial.suggest_categorical(name, d.choices)
    return trial.params


def value(params: Mapping[str, Any]) -> float:
    return (params["x"] - 0.3) ** 2 + (params.get("kind") == "b") + params.get("y", 0)


def searched(n: int, sampler: SearchSampler, space=SPACE, study: Study | None = None) -> Study:
    """A study with ``n`` more trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = study or optuna.create_study(sampler=sampler)
    study.sampler = sampler
    for _ in range(n):
        trial = study.ask()
        study.tell(trial, value(suggest(trial, space)))
    return study


def points(study: Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("name", MAKES)
def test_any_sampler_proposes_after_the_design(name):
    sampler = SearchSampler(MAKES[name], SPACE, seed=1, design=4)
    study = searched(12, sampler)
    found = points(study)
    assert all(set(point) == set(SPACE) for point in found)
    assert len({tuple(point.values()) for point in found}) == 12
    assert [sampler.design_of(i) for i in (0, 1, 3, 4)] == ["probe", "sobol", "sobol", None]


@pytest.mark.parametrize("name", MAKES)
def test_points_follow_from_seed_and_number(name):
    def fresh() -> SearchSampler:
        return SearchSampler(MAKES[name], SPACE, seed=1, design=4)

    want = points(searched(7, fresh()))
    study = None
    for number in range(7):  # a process for each trial, each with another past
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002 - what other libraries draw from
        study = searched(1, fresh(), study=study)
    assert points(study) == want
    other = SearchSampler(MAKES[name], SPACE, seed=2, design=4)
    assert points(searched(3, other))[1:] != want[1:3]


def test_the_probe_is_the_middle():
    point = points(searched(1, SearchSampler(MAKES["tpe"], SPACE)))[0]
    assert point["x"] == 0.5
    assert point["lr"] == pytest.approx(1e-3)
    assert point["n"] in (2, 3)


def test_the_design_fills_the_box():
    for seed in range(3):
        study = searched(16, SearchSampler(MAKES["tpe"], PLANE, seed=seed, design=16), PLANE)
        cube = np.array([list(point.values()) for point in points(study)[1:]])
        assert ((cube >= 0) & (cube < 1)).all()
        assert len(np.unique(cube, axis=0)) == 15
        # 16 Sobol points have one in each sixteenth of every axis; the first gave way to the probe.
        for axis in (cube * 16).astype(int).T:
            assert len(set(axis)) == 15
    unscrambled = {0.5, 0.25, 0.75}
    assert not unscrambled & set(cube.flatten())


@pytest.mark.parametrize("name", MAKES)
def test_points_are_moved_to_allowed_ones(name):
    sampler = SearchSampler(MAKES[name], PLANE, design=4, feasible=Simplex())
    study = searched(12, sampler, PLANE)
    for point in points(study):
        assert sum(point.values()) == pytest.approx(1.5), point
        assert all(0 <= coordinate <= 1 for coordinate in point.values())
    assert points(study)[0] == dict.fromkeys(PLANE, 0.5)
    keys = {Simplex().key(point) for point in points(study)}
    assert len(keys) == 12  # known points are avoided


def test_the_wrapped_sampler_has_one_coordinate_per_freedom():
    spaces = []

    class Spy(RandomSampler):
        def sample_relative(self, study, trial, search_space):
            spaces.append(list(search_space))
            return {}

    searched(3, SearchSampler(lambda seed: Spy(seed=seed), PLANE, design=1, feasible=Simplex()),
             PLANE)  # fmt: skip
    assert spaces == [["x", "y"]] * 2


def test_an_exhausted_space_repeats_itself():
    class Two(Simplex):
        def key(self, params):
            return params["x"] > 0.5

    study = searched(6, SearchSampler(MAKES["random"], PLANE, feasible=Two()), PLANE)
    assert len(study.trials) == 6  # rather than look for ever


def test_warm_start():
    warm = [{"x": 0.9}, {"x": 0.1, "kind": "b"}]
    sampler = SearchSampler(MAKES["tpe"], SPACE, design=3, warm_start=warm)
    found = points(searched(6, sampler))
    probe = sampler.probe()
    assert found[:3] == [{**probe, "x": 0.9}, {**probe, "x": 0.1, "kind": "b"}, probe]
    assert [sampler.design_of(i) for i in range(6)] == [
        "warm start", "warm start", "probe", "sobol", "sobol", None
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"y": 1}, "expected points of warm_start with x, lr, n, kind; got 'y'"),
        ({"x": 2.0}, "expected x of a point of warm_start within FloatDistribution.*, got 2.0"),
        ({"x": "high"}, "got 'high'"),
        ({"x": None}, "got None"),
        ({"n": 9}, "expected n of a point"),
        ({"kind": "c"}, "expected kind of a point"),
    ],
)
def test_points_outside_the_space(point, message):
    with pytest.raises(ValueError, match=message):
        SearchSampler(MAKES["tpe"], SPACE, warm_start=[{"x": 0.5}, point])


def test_only_settings_of_the_space():
    study = searched(1, SearchSampler(MAKES["tpe"], SPACE))
    with pytest.raises(ValueError, match="expected a setting of the search space, got 'other'"):
        study.ask().suggest_float("other", 0, 1)
