"""Rates to widths, parameters to rates, scores to choices; and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from random_networks import BOUNDS, arguments

from src.models import build_model, wiring_of
from src.models.channels import GROUPS, Variable
from src.pruning import Cost, PruningSpec, importance, keep, realised_rates, widths_table
from src.pruning.plan import kept_channels

FREE = dict.fromkeys(GROUPS)
"""No rate is given."""


@pytest.fixture(scope="module")
def student():
    model = build_model(arguments("nano_b"))
    wiring = wiring_of(model)
    return wiring, Cost(model, wiring)


@pytest.mark.parametrize(
    ("size", "least", "rate", "blocks", "multiple", "expected"),
    [
        (32, 4, 0.0, 1, 1, 32),
        (32, 4, 0.3, 1, 1, 22),  # 22.4
        (32, 4, 0.33, 1, 1, 21),  # 21.44
        (8, 1, 0.4375, 1, 1, 5),  # 4.5: halves up
        (32, 4, 0.95, 1, 1, 4),  # 1.6, but at least 4
        (2, 1, 0.2, 1, 1, 2),  # 1.6: two units change in halves
        (2, 1, 0.5, 1, 1, 1),
        (1, 1, 0.9, 1, 1, 1),  # the last one stays
        (18, 2, 0.3, 2, 1, 12),  # 12.6: the even number next to it, 6.3 pairs
        (18, 2, 0.9, 2, 1, 2),
        (18, 3, 0.99, 2, 1, 4),  # at least 3, and even
        (64, 4, 0.3, 1, 8, 48),  # 44.8: 5.6 eights
        (64, 4, 0.99, 1, 8, 8),
        (15, 1, 0.5, 1, 8, 8),  # 7.5: too few for eights, as they are
        (16, 1, 0.5, 1, 8, 8),
        (4, 1, 0.4, 1, 8, 2),  # 2.4
        (72, 4, 0.3, 6, 4, 48),  # 50.4: twelves
        (18, 2, 0.3, 2, 16, 12),  # two sixteens do not go in: pairs
    ],
)
def test_kept_channels(size, least, rate, blocks, multiple, expected):
    variable = Variable(("x",), "ssh", least, np.arange(size))
    assert kept_channels(variable, rate, blocks, multiple) == expected


def test_more_is_never_kept_at_a_higher_rate():
    for size in (1, 2, 8, 18, 32, 72):
        for blocks, multiple in ((1, 1), (2, 1), (1, 8), (2, 8)):
            if size % blocks:
                continue
            variable = Variable(("x",), "ssh", 2, np.arange(size))
            counts = [
                kept_channels(variable, rate, blocks, multiple)
                for rate in np.linspace(0, 0.99, 100)
            ]
            assert counts == sorted(counts, reverse=True)
            if multiple == 1:
                assert counts[0] == size
            assert all(count % blocks == 0 and count >= 1 for count in counts)


# Plans


def spec(rates=None, **options):
    return PruningSpec(rates={**FREE, **(rates or {})}, **{"bounds": BOUNDS, **options})


def test_without_a_target_rates_are_the_lowest(student):
    plan = spec().plan(*student)
    assert plan.rates == {name: low for name, (low, _) in BOUNDS.items()}
    assert plan.kept == spec().kept(student[0], plan.rates)


def test_given_rates_are_taken_as_they_are(student):
    plan = spec({"ssh": 0.5, "heads": 0.0}, parameters=0.6).plan(*student)
    assert plan.rates["ssh"] == 0.5
    assert plan.rates["heads"] == 0.0
    assert student[1].parameters(plan.kept) <= 0.6 * 385_662


def test_where_all_are_given_parameters_says_nothing(student):
    rates = {name: low for name, (low, _) in BOUNDS.items()}
    assert spec(rates, parameters=0.1).plan(*student).rates == rates


@pytest.mark.parametrize("parameters", [0.5, 0.75, 180_000])
def test_parameters_are_met_by_the_largest_plan(student, parameters):
    wiring, cost = student
    chosen = spec(parameters=parameters)
    plan = chosen.plan(wiring, cost)
    budget = parameters * 385_662 if parameters <= 1 else parameters
    assert cost.parameters(plan.kept) <= budget
    shares = {
        round((plan.rates[name] - low) / (high - low), 9) for name, (low, high) in BOUNDS.items()
    }
    (share,) = shares  # every group goes equally far
    assert 0 < share < 1
    less = {name: low + (share - 1e-6) * (high - low) for name, (low, high) in BOUNDS.items()}
    assert cost.parameters(chosen.kept(wiring, less)) > budget


def test_a_target_that_the_lowest_rates_meet_removes_no_more(student):
    assert spec(parameters=1.0).plan(*student) == spec().plan(*student)


def test_multiples(student):
    wiring, cost = student
    plan = spec(parameters=0.5, multiple=8).plan(wiring, cost)
    for variable, count in zip(wiring.variables, plan.kept, strict=True):
        assert count % 8 == 0 or len(variable.channels) < 16
    assert cost.parameters(plan.kept) <= 0.5 * 385_662


def test_a_group_that_a_network_lacks_has_no_rate(small):
    wiring = wiring_of(small)
    plan = spec(parameters=0.7).plan(wiring, Cost(small, wiring))
    assert plan.rates["cbam"] == plan.rates["heads"] == 0.0
    assert plan.rates["ssh"] > 0.1
    zero = spec({"heads": 0.0}).plan(wiring, Cost(small, wiring))  # nothing of nothing
    assert zero.rates["heads"] == 0.0


# Choices


def test_the_lowest_go_and_of_equals_the_first(student):
    wiring, _ = student
    scores = np.zeros(wiring.num_channels)
    kept = [len(v.channels) - wiring.blocks(v) * (len(v.channels) > 2) for v in wiring.variables]
    chosen = keep(wiring, scores, kept)
    for variable, count in zip(wiring.variables, kept, strict=True):
        assert chosen[variable.channels].sum() == count
        for block in np.split(variable.channels, wiring.blocks(variable)):
            if count < len(variable.channels):
                assert not chosen[block[0]]
                assert chosen[block[1:]].all()
    stem = wiring["backbone_0"]
    scores[stem] = [3, 1, 2, 1, 5, 1, 7, 0]
    chosen = keep(wiring, scores, [4, *kept[1:]])
    assert chosen[stem].tolist() == [True, False, True, False, True, False, True, False]


def test_blocks_keep_equally_many(student):
    wiring, _ = student
    scores = np.arange(wiring.num_channels, dtype=float)  # the second half is better
    plan = spec({"bifpn": 0.5, "ssh": 0.5}).plan(*student)
    chosen = keep(wiring, scores, plan.kept)
    for variable, count in zip(wiring.variables, plan.kept, strict=True):
        blocks = wiring.blocks(variable)
        counts = [int(chosen[b].sum()) for b in np.split(variable.channels, blocks)]
        assert counts == [count // blocks] * blocks


def test_a_higher_rate_keeps_a_part_of_what_a_lower_one_kept(student):
    wiring, _ = student
    scores = importance(wiring)
    before = np.ones(wiring.num_channels, bool)
    for rate in (0.0, 0.15, 0.2, 0.4, 0.5, 0.6):
        rates = {name: min(max(rate, low), high) for name, (low, high) in BOUNDS.items()}
        chosen = keep(wiring, scores, spec().kept(wiring, rates))
        assert not (chosen & ~before).any()
        before = chosen


def test_tables_of_what_is_left(student):
    wiring, _ = student
    chosen = np.ones(wiring.num_channels, bool)
    chosen[wiring["backbone_0"][:2]] = False
    rates = realised_rates(wiring, chosen)
    early = sum(len(v.channels) for v in wiring.variables if v.group == "backbone_early")
    expected = {name: 2 / early if name == "backbone_early" else 0.0 for name in GROUPS}
    assert rates == pytest.approx(expected)
    table = widths_table(wiring, chosen)
    assert table[0] == {"name": "backbone_0", "group": "backbone_early", "before": 8, "after": 6}
    assert all(row["before"] == row["after"] for row in table[1:])


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rates": {"neck": 0.1}}, r"expected pruning\.rates of the groups backbone_early, .*neck"),
        ({"bounds": {"ssh": [0, 1]}}, r"expected pruning\.bounds of the groups .*, got ssh"),
        ({"rates": {"bifpn": 0.7}}, r"expected pruning\.rates\.bifpn from 0\.15 to 0\.6, got 0\.7"),
        ({"rates": {"bifpn": 0.1}}, r"expected pruning\.rates\.bifpn from 0\.15 to 0\.6, got 0\.1"),
        ({"rates": {"ssh": float("nan")}}, r"expected pruning\.rates\.ssh from .*got nan"),
        ({"bounds": {**BOUNDS, "ssh": [0, 1]}}, r"bounds\.ssh .*where no filter would be left"),
        ({"bounds": {**BOUNDS, "ssh": [0.5, 0.1]}}, r"bounds\.ssh as \[lowest, highest\]"),
        ({"bounds": {**BOUNDS, "ssh": [-0.1, 0.1]}}, r"bounds\.ssh as \[lowest, highest\]"),
        ({"bounds": {**BOUNDS, "ssh": [0.1]}}, r"bounds\.ssh as \[lowest, highest\].*got \[0\.1\]"),
        ({"parameters": 0}, r"expected pruning\.parameters above 0.*got 0"),
        ({"parameters": -5.0}, r"expected pruning\.parameters above 0.*got -5"),
        ({"parameters": float("nan")}, r"expected pruning\.parameters above 0.*got nan"),
        ({"multiple": 0}, r"expected pruning\.multiple of at least 1, got 0"),
        ({"reconstruction": "lasso"}, r"expected pruning\.reconstruction of null .*got 'lasso'"),
        ({"num_images": 0}, r"expected pruning\.num_images of at least 1 .*got 0 and 0\.01"),
        ({"damping": -1.0}, r"pruning\.damping of at least 0, got 256 and -1\.0"),
        ({"importance": "taylor"}, r"expected pruning\.importance of fpgm, .*; got 'taylor'"),
    ],
)  # fmt: skip
def test_wrong_settings(options, message):
    with pytest.raises(ValueError, match=message):
        spec(**options)


def test_a_missing_group():
    rates = {name: None for name in GROUPS if name != "heads"}
    with pytest.raises(ValueError, match=r"expected pruning\.rates of the groups .*heads, got"):
        PruningSpec(rates=rates, bounds=BOUNDS)


def test_a_rate_for_what_is_not_there(small):
    wiring = wiring_of(small)
    message = (
        r"expected pruning\.rates\.heads=null .*got 0\.2; it has "
        "backbone_early, backbone_late, bifpn, ssh$"
    )
    with pytest.raises(ValueError, match=message):
        spec({"heads": 0.2}).plan(wiring, Cost(small, wiring))


def test_the_smallest_size_within_reach_is_named(student):
    wiring, cost = student
    smallest = int(cost.parameters(spec().kept(wiring, {n: h for n, (_, h) in BOUNDS.items()})))
    message = rf"at least {smallest:,} \(0\.\d+ of 385,662\), .*got 1000; widen pruning\.bounds"
    with pytest.raises(ValueError, match=message):
        spec(parameters=1000).plan(wiring, cost)
    assert cost.parameters(spec(parameters=smallest).plan(wiring, cost).kept) == smallest


def test_where_every_group_that_is_there_has_a_rate_parameters_says_nothing(small):
    wiring = wiring_of(small)
    given = {"backbone_early": 0.1, "backbone_late": 0.2, "bifpn": 0.2, "ssh": 0.1}
    plan = spec(given, parameters=0.1).plan(wiring, Cost(small, wiring))
    assert {name: plan.rates[name] for name in given} == given


def test_a_multiple_wider_than_every_layer(small):
    wiring = wiring_of(small)
    with pytest.raises(ValueError, match=r"pruning\.multiple of at most 256, .*got 257"):
        spec(multiple=257).plan(wiring, Cost(small, wiring))
