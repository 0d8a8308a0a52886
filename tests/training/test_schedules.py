"""Learning-rate factors worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from src.training import LearningRateScaling
from src.training.schedules import cosine, multistep


@pytest.fixture
def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def rates(schedule, steps):
    (factor,) = schedule.lr_lambdas
    return [factor(step) for step in steps]


def test_multistep(optimizer):
    schedule = multistep(optimizer, 10, 40, milestones=[2, 3], gamma=0.1, warmup_steps=4)
    # Warm-up in fifths: the first step already moves, step 4 is the first at the full rate.
    assert rates(schedule, range(6)) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    # Epoch 2 begins with step 20, epoch 3 with step 30.
    assert rates(schedule, [19, 20, 29, 30, 39]) == pytest.approx([1, 0.1, 0.1, 0.01, 0.01])


def test_a_milestone_inside_the_warmup(optimizer):
    schedule = multistep(optimizer, 2, 10, milestones=[1], gamma=0.5, warmup_steps=3)
    assert rates(schedule, [1, 2, 3]) == pytest.approx([0.5, 0.75 * 0.5, 0.5])


def test_cosine(optimizer):
    schedule = cosine(optimizer, 5, 24, final=0.1, warmup_steps=4)
    assert rates(schedule, range(5)) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    # 20 steps from 4 to 24: half way is step 14, a quarter is step 9.
    quarter = 0.1 + 0.9 * 0.5 * (1 + math.sqrt(0.5))
    assert rates(schedule, [9, 14, 24, 30]) == pytest.approx([quarter, 0.55, 0.1, 0.1])


def test_cosine_of_one_step(optimizer):
    assert rates(cosine(optimizer, 1, 1), [0, 1]) == pytest.approx([1, 0.01])


def test_the_optimizer_gets_the_factors(optimizer):
    schedule = multistep(optimizer, 1, 3, milestones=[1], gamma=0.1)
    seen = []
    for _ in range(3):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert seen == pytest.approx([1, 0.1, 0.1])


@pytest.mark.parametrize(
    ("schedule", "settings", "message"),
    [
        (multistep, {"milestones": [-1]}, r"milestones of at least epoch 0, got 0\.1 and \[-1\]"),
        (multistep, {"milestones": [1], "gamma": 0}, r"expected a gamma above 0"),
        (multistep, {"milestones": [], "warmup_steps": -1}, r"at least 0 warm-up steps, got -1"),
        (cosine, {"warmup_steps": -2}, r"at least 0 warm-up steps, got -2"),
        (cosine, {"final": 1.5}, r"expected a final share .* from 0 to 1, got 1\.5; set schedule"),
    ],
)
def test_schedules_refuse(optimizer, schedule, settings, message):
    with pytest.raises(ValueError, match=message):
        schedule(optimizer, 10, 100, **settings)


@pytest.mark.parametrize(("rule", "factor"), [("linear", 0.25), ("sqrt", 0.5), ("none", 1.0)])
def test_scaling(rule, factor):
    assert LearningRateScaling(32, rule).factor(8) == pytest.approx(factor)


def test_scaling_refuses():
    with pytest.raises(ValueError, match=r"scaling rule of linear, sqrt, none; got 'log'"):
        LearningRateScaling(rule="log")
    with pytest.raises(ValueError, match=r"at least 1 image, got 0; set scaling\.reference_batch"):
        LearningRateScaling(reference_batch=0)
