"""Weights of the distillation terms: bounds, optimum, what they may not do."""

from __future__ import annotations

import math

import pytest
import torch

from src.distillation import FixedWeights, LearnedWeights

PRIORS = {"class": 1.0, "box": 1.0, "landmark": 0.5}
NAMES = tuple(PRIORS)


def learn(losses, steps=2000, lr=0.05):
    """Weights after learning on constant losses, and the largest that occurred on the way."""
    balance = LearnedWeights(**PRIORS)
    optimizer = torch.optim.SGD(balance.parameters(), lr=lr)
    terms = {name: torch.tensor(loss) for name, loss in zip(NAMES, losses, strict=True)}
    seen = []
    for _ in range(steps):
        optimizer.zero_grad()
        balance(terms).backward()
        optimizer.step()
        values = balance.log_values()
        seen.append([values[f"weight_{name}"].item() for name in NAMES])
    return seen


def test_fixed_weights_are_a_sum():
    terms = {"class": torch.tensor(2.0), "box": torch.tensor(3.0), "landmark": torch.tensor(4.0)}
    assert FixedWeights(**PRIORS)(terms).item() == 7.0
    assert FixedWeights(**PRIORS).log_values() == {}
    assert FixedWeights(**PRIORS).parameter_groups() == []


def test_learned_weights_begin_at_their_priors():
    terms = {"class": torch.tensor(2.0), "box": torch.tensor(3.0), "landmark": torch.tensor(4.0)}
    balance = LearnedWeights(**PRIORS)
    assert balance(terms).item() == FixedWeights(**PRIORS)(terms).item()
    values = balance.log_values()
    assert [values[f"weight_{name}"].item() for name in NAMES] == [1.0, 1.0, 0.5]
    assert [values[f"log_variance_{name}"].item() for name in NAMES] == [0.0, 0.0, 0.0]


def test_weights_converge_to_prior_over_loss():
    losses = (0.3, 2.0, 0.8)
    expected = [prior / loss for prior, loss in zip(PRIORS.values(), losses, strict=True)]
    assert learn(losses)[-1] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("losses", [(1e-6, 1e6, 0.0), (1e4, 1e4, 1e4), (0.0, 0.0, 0.0)])
def test_weights_stay_within_bounds_for_2000_steps(losses):
    low, high = math.exp(-3), math.exp(3)
    for weights in learn(losses, lr=0.01):
        for weight, prior in zip(weights, PRIORS.values(), strict=True):
            assert low * prior * 0.999 <= weight <= high * prior * 1.001


def test_a_term_that_is_0_says_nothing():
    # A teacher that sees no face has no boxes to imitate; that is not a perfect imitation.
    weights = learn((3.0, 0.0, 0.0), lr=0.05)[-1]
    assert weights == pytest.approx([1 / 3, 1.0, 0.5], rel=1e-3)


def test_theta_does_not_decay_and_learns_faster():
    balance = LearnedWeights(**PRIORS, rate_factor=7)
    (group,) = balance.parameter_groups()
    assert group["weight_decay"] == 0.0
    assert group["rate_factor"] == 7
    assert group["params"] == list(balance.parameters())


@pytest.mark.parametrize("kind", [FixedWeights, LearnedWeights])
@pytest.mark.parametrize(
    "priors",
    [{"class": 1.0}, {**PRIORS, "box": 0.0}, {**PRIORS, "boxes": 1.0}, {**PRIORS, "box": "one"}],
)
def test_wrong_priors(kind, priors):
    with pytest.raises(ValueError, match=r"above 0 for each of class, box, landmark, got .*set kd"):
        kind(**priors)


def test_wrong_rate_factor():
    with pytest.raises(ValueError, match="rate_factor above 0, got 0"):
        LearnedWeights(**PRIORS, rate_factor=0)
