"""The terms: values worked out by hand, what counts, what is 0."""

from __future__ import annotations

import math

import pytest
import torch

from src.detection.assignment import gather_positives
from src.detection.priors import PriorSpec, priors_for
from src.distillation.features import FeatureTerm, level_masks
from src.distillation.losses import (
    class_term,
    compared_rows,
    distillation_terms,
    face_probability,
    foreground_weight,
    regression_term,
)
from src.types import Assignment, Outputs, Targets


def random_outputs(seed: int) -> Outputs:
    generator = torch.Generator().manual_seed(seed)
    return Outputs(*(3 * torch.randn(2, 50, k, generator=generator) for k in (4, 2, 10)))


def test_equal_outputs_have_no_terms():
    outputs = random_outputs(0)
    terms = distillation_terms(outputs, outputs, torch.ones(2, 50, dtype=torch.bool), 4.0)
    assert {name: value.item() for name, value in terms.items()} == {
        "class": 0.0, "box": 0.0, "landmark": 0.0,
    }  # fmt: skip


def test_class_term_by_hand():
    # At T = 2 the teacher's margin is ln 3 (3/4 against 1/4), the student's 0.
    student = torch.zeros(1, 2, 2)
    teacher = torch.tensor([[[0.0, 2 * math.log(3)], [5.0, -5.0]]])
    rows = torch.tensor([[True, False]])
    expected = 4 * (0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5))
    assert class_term(student, teacher, rows, 2.0).item() == pytest.approx(expected, rel=1e-5)


def test_class_term_nears_half_the_squared_margin_over_four_when_soft():
    # KL of two Bernoullis with margins a and b at high T: (a - b)^2 / (8 T^2).
    student, teacher = torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[0.0, 3.0]]])
    rows = torch.ones(1, 1, dtype=torch.bool)
    assert class_term(student, teacher, rows, 100.0).item() == pytest.approx(0.5, rel=0.01)


def test_regression_term_by_hand():
    student = torch.zeros(1, 3, 4)
    teacher = torch.tensor([[[1.0, 1, 1, 1], [2, 0, 0, 0], [9, 9, 9, 9]]])
    weight = torch.tensor([[0.5, 0.25, 0.0]])
    expected = (0.5 * 1 + 0.25 * 1) / 0.75
    assert regression_term(student, teacher, weight).item() == pytest.approx(expected)


def test_background_weighs_nothing():
    probability = torch.tensor([0.0, 0.05, 0.1, 0.2, 1.0])
    assert foreground_weight(probability).tolist() == pytest.approx([0, 0, 0, 0.2, 1.0])


def test_without_foreground_the_terms_are_zero_and_keep_a_graph():
    student = Outputs(*(o.requires_grad_() for o in random_outputs(0)))
    teacher = random_outputs(1)
    teacher.logits[..., 0], teacher.logits[..., 1] = 20.0, -20.0
    terms = distillation_terms(student, teacher, torch.zeros(2, 50, dtype=torch.bool), 4.0)
    assert all(value.item() == 0 for value in terms.values())
    sum(terms.values()).backward()
    assert all(torch.equal(o.grad, torch.zeros_like(o)) for o in student)


def test_teacher_that_sees_a_face_is_compared_whatever_the_label():
    student, teacher = random_outputs(0), random_outputs(1)
    none = torch.zeros(2, 50, dtype=torch.bool)
    seen = face_probability(teacher.logits) > 0.05
    assert seen.any()
    ours = distillation_terms(student, teacher, none, 4.0)["class"]
    assert torch.equal(ours, class_term(student.logits, teacher.logits, seen, 4.0))


def test_compared_rows_are_positives_and_hardest_negatives():
    labels = torch.zeros(1, 30, dtype=torch.int8)
    labels[0, 3], labels[0, 4] = 1, -1
    logits = torch.zeros(1, 30, 2)
    logits[0, :, 1] = torch.arange(30.0)
    targets = Targets(*(torch.zeros(1, *shape) for shape in ((4,), (5, 2), (), (), ())))
    priors = priors_for(PriorSpec(), (32, 32), torch.device("cpu"))
    assignment = Assignment(torch.zeros(1, 30, dtype=torch.long), labels)
    rows = compared_rows(logits, gather_positives(assignment, priors, targets))
    assert rows[0].nonzero().flatten().tolist() == [3, *range(23, 30)]


def test_level_masks_are_widened_by_one_cell():
    spec = PriorSpec()
    weight = torch.zeros(1, 2 * (64 + 16 + 4))
    weight[0, 2 * (3 * 8 + 5) + 1] = 0.7  # level 0, row 3, column 5, second prior
    weight[0, 2 * 64 + 2 * (0 * 4 + 0)] = 0.4  # level 1, corner
    masks = level_masks(weight, spec, (64, 64))
    assert [tuple(mask.shape) for mask in masks] == [(1, 8, 8), (1, 4, 4), (1, 2, 2)]
    expected = torch.zeros(8, 8)
    expected[2:5, 4:7] = 0.7
    assert torch.equal(masks[0][0], expected)
    assert masks[1].sum().item() == pytest.approx(4 * 0.4)
    assert masks[2].sum() == 0


def test_feature_term_sees_direction_only_and_is_zero_on_equal_features():
    term = FeatureTerm(0.25)
    term.connect([6] * 3, [6] * 3)
    for adapter in term.adapters:
        torch.nn.init.dirac_(adapter.weight)
        torch.nn.init.zeros_(adapter.bias)
    features = [torch.randn(2, 6, side, side) for side in (8, 4, 2)]
    probability = torch.rand(2, 2 * 84)
    arguments = (probability, PriorSpec(), (64, 64))
    assert term(features, [3 * f for f in features], *arguments).item() == pytest.approx(
        0, abs=1e-9
    )
    # Opposite directions are 2 apart, squared 4, on each of three levels.
    opposite = term(features, [-f for f in features], *arguments)
    assert opposite.item() == pytest.approx(12, rel=1e-5)


def test_feature_weight_is_checked():
    with pytest.raises(ValueError, match=r"weight above 0, got 0; set kd\.features\.weight"):
        FeatureTerm(0)
