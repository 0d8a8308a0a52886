"""What the end of a pipeline says about its targets."""

from __future__ import annotations

import pytest

from src.stages import judge

BEFORE = {"metrics": {"ap": 0.80}}
AFTER = {"parameters": 170_000, "metrics": {"ap": 0.77}, "median": 0.012}


def test_every_target_is_judged():
    size, loss, latency = judge(
        {"parameters": 180_000, "max_ap_loss": 2, "latency": 12.5}, BEFORE, AFTER
    )
    assert size.met
    assert size.sentence == "Parameters: met, 170,000 of at most 180,000, 10,000 below."
    assert not loss.met
    assert loss.sentence == "AP lost: not met, 3 points of at most 2 points, 1 points above."
    assert latency.reached == pytest.approx(12.0)


def test_what_is_exactly_reached_is_met():
    (size,) = judge({"parameters": 170_000}, BEFORE, AFTER)
    assert size.met
    assert size.sentence == "Parameters: met, 170,000 of at most 170,000, 0 below."


def test_what_is_not_asked_for_is_not_judged():
    assert not judge({"parameters": None, "max_ap_loss": None, "latency": None}, BEFORE, AFTER)


def test_what_was_not_measured_is_not_met():
    (loss,) = judge({"max_ap_loss": 2}, {"metrics": {"ap": None}}, AFTER)
    assert not loss.met
    assert loss.sentence == "AP lost: not measured; asked for 2 points at most."
