"""Loss terms by hand, against plain definitions, and at their limits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from src.detection.assignment import MaxIoUAssigner, gather_positives
from src.detection.coding import encode_boxes, encode_landmarks
from src.detection.losses import (
    HardNegativeCrossEntropy,
    SmoothL1Boxes,
    SmoothL1Landmarks,
    WeightedTerms,
    hardest_negatives,
)
from src.detection.priors import PriorSpec, priors_for
from src.types import Outputs

SPEC = PriorSpec()


@pytest.fixture
def setting(make_targets, make_outputs):
    priors = priors_for(SPEC, (128, 128), torch.device("cpu"))
    targets = make_targets([5, 0, 3], ignored=0.3)
    outputs = make_outputs(3, len(priors.boxes_cxcywh))
    assignment = MaxIoUAssigner()(priors, outputs, targets)
    return outputs, priors, targets, assignment


@pytest.fixture
def matched(setting):
    _, priors, targets, assignment = setting
    return gather_positives(assignment, priors, targets)


def test_terms_equal_a_loop_over_positives(setting, matched):
    outputs, (priors, *_), targets, assignment = setting
    boxes, points, num_points, num = 0.0, 0.0, 0, 0
    for image in range(3):
        for prior in range(len(priors)):
            if assignment.labels[image, prior] != 1:
                continue
            face = assignment.face_index[image, prior]
            num += 1
            wanted = encode_boxes(targets.boxes[face], priors[prior], SPEC.variances)
            boxes += F.smooth_l1_loss(outputs.deltas[image, prior], wanted, reduction="sum")
            if targets.has_landmarks[face]:
                num_points += 1
                wanted = encode_landmarks(targets.landmarks[face], priors[prior], SPEC.variances)
                points += F.smooth_l1_loss(outputs.landmarks[image, prior], wanted, reduction="sum")
    assert num > num_points > 0
    torch.testing.assert_close(SmoothL1Boxes()(outputs, matched), boxes / num)
    torch.testing.assert_close(SmoothL1Landmarks()(outputs, matched), points / num_points)


def test_cross_entropy_equals_its_definition(setting, matched):
    outputs, _, _, assignment = setting
    expected, num = 0.0, 0
    for image in range(3):
        labels = assignment.labels[image]
        loss = F.cross_entropy(outputs.logits[image], (labels == 1).long(), reduction="none")
        positives = int((labels == 1).sum())
        hardest = loss[labels == 0].sort(descending=True).values[: max(7 * positives, 7)]
        expected = expected + loss[labels == 1].sum() + hardest.sum()
        num += positives
    torch.testing.assert_close(HardNegativeCrossEntropy()(outputs, matched), expected / num)


def test_perfect_outputs_have_no_loss(setting, matched):
    _, (priors, *_), targets, assignment = setting
    face = assignment.face_index
    perfect = Outputs(
        encode_boxes(targets.boxes[face], priors, SPEC.variances),
        F.one_hot((assignment.labels == 1).long(), 2) * 100.0,
        encode_landmarks(targets.landmarks[face], priors, SPEC.variances),
    )
    for term in (SmoothL1Boxes(), SmoothL1Landmarks(), HardNegativeCrossEntropy()):
        assert float(term(perfect, matched)) == pytest.approx(0)


def test_faces_without_landmarks_teach_none(setting, matched):
    outputs = setting[0]
    none = matched._replace(has_landmarks=torch.zeros_like(matched.has_landmarks))
    loss = SmoothL1Landmarks()(outputs, none)
    loss.backward()
    assert loss.item() == 0
    assert not outputs.landmarks.grad.any()


def test_ignored_priors_get_no_gradient(setting):
    outputs, priors, targets, assignment = setting
    labels = assignment.labels.clone()
    labels[:, ::2] = -1
    matched = gather_positives(assignment._replace(labels=labels), priors, targets)
    HardNegativeCrossEntropy(min_negatives=10**6)(outputs, matched).backward()
    assert not outputs.logits.grad[:, ::2].any()
    assert torch.equal(outputs.logits.grad.any(dim=-1), labels >= 0)


def test_images_without_faces_teach_background(make_targets, make_outputs):
    priors = priors_for(SPEC, (64, 64), torch.device("cpu"))
    outputs, targets = make_outputs(2, len(priors.boxes_cxcywh)), make_targets([0, 0])
    matched = gather_positives(MaxIoUAssigner()(priors, outputs, targets), priors, targets)
    multibox = WeightedTerms(
        {
            "box": SmoothL1Boxes(),
            "class": HardNegativeCrossEntropy(),
            "landmark": SmoothL1Landmarks(),
        },
        {"box": 2, "class": 1, "landmark": 1},
    )
    terms = multibox(outputs, matched)
    terms.total.backward()
    assert terms.parts["box"] == terms.parts["landmark"] == 0
    assert (outputs.logits.grad != 0).any(dim=-1).sum(dim=1).tolist() == [7, 7]


def test_hardest_negatives():
    loss = torch.tensor([[5.0, 1, 4, 3, 2], [5, 1, 4, 3, 2]])
    positive = torch.tensor([[True, False, False, False, False], [False] * 5])
    chosen = hardest_negatives(loss, positive, ~positive, 2, 1)
    assert chosen.tolist() == [[False, False, True, True, False], [True] + [False] * 4]


@pytest.mark.parametrize(("ratio", "minimum"), [(2, 3), (7, 0), (0.5, 1), (100, 7)])
def test_hardest_negatives_are_those_of_a_stable_sort(ratio, minimum):
    torch.manual_seed(0)
    loss = torch.randint(0, 6, (40, 30)).float()  # many are equal
    label = torch.randint(-1, 2, (40, 30)) * torch.randint(0, 2, (40, 1))
    label[-1] = 1  # no negatives
    for image, chosen in enumerate(hardest_negatives(loss, label == 1, label == 0, ratio, minimum)):
        negatives = (label[image] == 0).nonzero().flatten().tolist()
        wanted = max((label[image] == 1).sum().item() * ratio, minimum)
        order = sorted(negatives, key=lambda prior: -loss[image, prior].item())
        assert chosen.nonzero().flatten().tolist() == sorted(order[: math.ceil(wanted)])


def test_a_loss_that_is_no_number_is_found():
    loss = torch.tensor([[1.0, 2, float("nan"), 3]])
    none = torch.zeros(1, 4, dtype=torch.bool)
    assert hardest_negatives(loss, none, ~none, 1, 1)[0, 2]


def test_weights(setting, matched):
    both = {"box": SmoothL1Boxes(), "class": HardNegativeCrossEntropy()}
    terms = WeightedTerms(both, {"box": 2, "class": 0.5})(setting[0], matched)
    torch.testing.assert_close(terms.total, 2 * terms.parts["box"] + 0.5 * terms.parts["class"])
    with pytest.raises(ValueError, match=r"one weight per loss term \['box'\], got \['boxes'\]"):
        WeightedTerms({"box": SmoothL1Boxes()}, {"boxes": 1})


def test_wrong_mining_options():
    with pytest.raises(ValueError, match="negatives_per_positive > 0 and min_negatives >= 0"):
        HardNegativeCrossEntropy(negatives_per_positive=0)
