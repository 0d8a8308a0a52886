"""Pairing of rows by their priors."""

from __future__ import annotations

import math

import pytest
import torch

from src.detection.priors import PriorSpec, make_priors
from src.distillation.twins import match_priors, twins_for

CPU = torch.device("cpu")
TWO = PriorSpec()
THREE = PriorSpec(tuple((low / math.sqrt(2), low, high) for low, high in TWO.sizes))


@pytest.mark.parametrize("size", [(640, 640), (321, 500), (1, 1)])
def test_two_priors_are_the_last_two_of_three(size):
    pairs = twins_for(THREE, TWO, *size, CPU)
    cell = torch.arange(len(make_priors(TWO, *size))) // 2
    expected = torch.stack([3 * cell[::2] + 1, 3 * cell[::2] + 2], dim=1).flatten()
    assert torch.equal(pairs.student, expected)
    assert torch.equal(pairs.teacher, torch.arange(len(cell)))
    ours, theirs = make_priors(THREE, *size), make_priors(TWO, *size)
    assert torch.equal(ours[pairs.student], theirs[pairs.teacher])


def test_equal_priors_are_their_own_twins():
    pairs = twins_for(TWO, TWO, 640, 640, CPU)
    assert torch.equal(pairs.student, torch.arange(16_800))
    assert torch.equal(pairs.teacher, pairs.student)


def test_a_student_with_fewer_priors_has_twins_too():
    pairs = twins_for(TWO, THREE, 64, 96, CPU)
    ours, theirs = make_priors(TWO, 64, 96), make_priors(THREE, 64, 96)
    assert torch.equal(ours[pairs.student], theirs[pairs.teacher])
    assert len(pairs.student) == len(ours)


def test_any_order_of_sizes_is_matched():
    turned = PriorSpec(tuple((high, low) for low, high in TWO.sizes))
    pairs = twins_for(turned, TWO, 64, 64, CPU)
    ours, theirs = make_priors(turned, 64, 64), make_priors(TWO, 64, 64)
    assert torch.equal(ours[pairs.student], theirs[pairs.teacher])
    assert not torch.equal(pairs.teacher, torch.arange(len(theirs)))


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (PriorSpec(((16, 33), (64, 128), (256, 512))), "to contain those of the teacher.*16, 33"),
        (PriorSpec(strides=(8, 16, 33)), "to contain those of the teacher"),
        (PriorSpec(variances=(0.1, 0.3)), r"offsets of one scale, got variances \(0.1, 0.3\)"),
        (PriorSpec(((16, 16), (64, 64), (9, 9))), "differ from each other, got one twice"),
    ],
)
def test_what_cannot_be_paired_is_refused(student, message):
    with pytest.raises(ValueError, match=f"^expected .*{message}.*set model.prior_sizes"):
        twins_for(student, TWO, 64, 64, CPU)


def test_partial_overlap_is_refused():
    with pytest.raises(ValueError, match="got 2 and 2 with 1 in common"):
        match_priors(torch.eye(4)[:2], torch.eye(4)[1:3])
