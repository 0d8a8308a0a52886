"""Rates on a budget of parameters."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from composing import CONF
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from src.models import featherface_v1, nano_b, wiring_of
from src.models.channels import GROUPS
from src.pruning import BudgetSurface, Cost, PruningSpec, keep, remove


@pytest.fixture(scope="module")
def network():
    return nano_b(channels=16).eval()


@pytest.fixture(scope="module")
def spec():
    with initialize_config_dir(CONF, version_base="1.3"):
        return instantiate(compose("prune", ["checkpoint=x"]).pruning, _convert_="all")


@pytest.fixture(scope="module")
def make(network, spec):
    wiring = wiring_of(network)
    cost = Cost(network, wiring, height=64, width=64)

    def made(*, bounds=None, **settings):
        bounds = bounds or {name: tuple(spec.bounds[name]) for name in GROUPS}
        return BudgetSurface(dataclasses.replace(spec, **settings), wiring, cost, bounds)

    return made


def proposals(surface: BudgetSurface, count: int) -> list[dict[str, float]]:
    rng = np.random.default_rng(0)
    return [
        {name: float(rng.uniform(*pair)) for name, pair in surface.bounds.items()}
        for _ in range(count)
    ]


@pytest.mark.parametrize("share", [0.45, 0.5, 0.6, 0.75])
def test_every_proposal_ends_just_within_the_budget(make, share):
    surface = make(parameters=share)
    for proposal in proposals(surface, 40):
        rates = surface.project(proposal)
        assert surface.parameters(rates) <= surface.budget
        for name, (low, high) in surface.bounds.items():
            assert low <= rates[name] <= high
        # The largest such plan: a step back along what was moved does not keep the budget.
        moved = [name for name in rates if rates[name] != proposal[name]]
        back = {
            **rates,
            **{n: max(surface.bounds[n][0], rates[n] - 1e-6) for n in moved or [surface.solved]},
        }
        at_bound = back == rates
        assert at_bound or surface.parameters(back) > surface.budget


def test_only_the_group_that_carries_most_is_moved_where_it_suffices(make):
    surface = make(parameters=0.5)
    assert surface.solved == "backbone_late"
    kept = [
        all(rates[n] == proposal[n] for n in rates if n != surface.solved)
        for proposal in proposals(surface, 40)
        for rates in [surface.project(proposal)]
    ]
    assert np.mean(kept) > 0.7


def test_what_is_on_the_surface_stays(make):
    surface = make(parameters=0.5)
    for proposal in proposals(surface, 10):
        rates = surface.project(proposal)
        assert surface.kept(surface.project(rates)) == surface.kept(rates)


def test_the_uniform_plan_is_that_of_pruning(make, network, spec):
    surface = make(parameters=0.5)
    wiring = wiring_of(network)
    plan = dataclasses.replace(spec, parameters=0.5).plan(wiring, Cost(network, wiring))
    assert surface.kept(surface.uniform()) == plan.kept


def test_a_trial_gets_the_widths_that_were_counted(make, network, spec):
    surface = make(parameters=0.5)
    wiring = wiring_of(network)
    rates = surface.project(proposals(surface, 1)[0])
    plan = dataclasses.replace(spec, rates=rates).plan(wiring, Cost(network, wiring))
    assert plan.kept == surface.kept(rates)
    pruned = remove(network, wiring, keep(wiring, np.arange(wiring.num_channels), plan.kept))
    assert sum(p.numel() for p in pruned.parameters()) == surface.parameters(rates)


def test_given_rates_stay_and_count(make, spec):
    rates = {**dict.fromkeys(GROUPS), "cbam": 0.4}
    bounds = {name: tuple(spec.bounds[name]) for name in GROUPS if name != "cbam"}
    surface = make(bounds=bounds, rates=rates, parameters=0.5)
    found = surface.project(proposals(surface, 1)[0])
    assert "cbam" not in found
    without = make(bounds=bounds, rates={**rates, "cbam": 0.1}, parameters=0.5)
    assert surface.parameters(found) < without.parameters(found)


def test_a_number_of_parameters(make):
    surface = make(parameters=120_000)
    assert surface.budget == 120_000
    assert 115_000 < surface.parameters(surface.uniform()) <= 120_000


def test_mistakes_are_one_sentence(make, spec):
    with pytest.raises(ValueError, match=r"of at least [\d,]+ \(0\.\d+ of [\d,]+\)"):
        make(parameters=0.1)
    with pytest.raises(ValueError, match=r"got pruning\.parameters=null"):
        make(parameters=None)
    bounds = {name: tuple(spec.bounds[name]) for name in GROUPS if name != "ssh"}
    with pytest.raises(ValueError, match=r"got none for ssh; set pruning\.rates\.ssh=RATE"):
        make(bounds=bounds, parameters=0.5)


def test_a_network_without_some_groups():
    network = featherface_v1("v1_487103", channels=16, bifpn_repeats=1, cbam_reduction=None).eval()
    wiring = wiring_of(network)
    present = {variable.group for variable in wiring.variables}
    assert present < set(GROUPS)
    spec = PruningSpec(
        rates=dict.fromkeys(GROUPS), bounds={n: [0.0, 0.5] for n in GROUPS}, parameters=0.6
    )
    surface = BudgetSurface(spec, wiring, Cost(network, wiring), dict.fromkeys(present, (0.0, 0.5)))
    assert set(surface.uniform()) == present
    assert surface.parameters(surface.uniform()) <= surface.budget
