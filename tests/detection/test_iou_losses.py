"""Terms on decoded boxes by hand, against plain definitions, and at their limits."""

from __future__ import annotations

import math

import pytest
import torch

from src.detection.assignment import MaxIoUAssigner, gather_positives
from src.detection.coding import decode_boxes, encode_boxes
from src.detection.dynamic import DynamicAssigner
from src.detection.iou_losses import (
    DistanceIoUBoxes,
    QualityFocalLoss,
    distance_iou,
    gaussian_distance,
)
from src.detection.losses import SmoothL1Landmarks, WeightedTerms
from src.detection.objective import DetectionObjective
from src.detection.priors import PriorSpec, priors_for
from src.types import Batch, Outputs

SPEC = PriorSpec()
PRIORS = priors_for(SPEC, (96, 96), torch.device("cpu"))


@pytest.fixture
def setting(make_targets, make_outputs):
    targets = make_targets([5, 0, 3], side=96, ignored=0.3)
    outputs = make_outputs(3, len(PRIORS.boxes_cxcywh))
    assignment = MaxIoUAssigner(ignore_below=8)(PRIORS, outputs, targets)
    return outputs, targets, assignment


@pytest.fixture
def matched(setting):
    _, targets, assignment = setting
    return gather_positives(assignment, PRIORS, targets)


def plain_iou(a: list[float], b: list[float]) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    inner = max(width, 0) * max(height, 0)
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def positives(setting) -> list[tuple[list[float], list[float], int, tuple[int, int]]]:
    """(predicted box, face's box, face, (image, prior)) of every positive."""
    outputs, targets, assignment = setting
    found = []
    for image, prior in (assignment.labels == 1).nonzero().tolist():
        face = int(assignment.face_index[image, prior])
        box = decode_boxes(outputs.deltas[image, prior], PRIORS.boxes_cxcywh[prior], SPEC.variances)
        found.append((box.tolist(), targets.boxes[face].tolist(), face, (image, prior)))
    return found


def test_boxes_equal_a_loop_over_faces(setting, matched):
    terms: dict[int, list[float]] = {}
    small = 0
    for a, b, face, _ in positives(setting):
        apart = sum((a[i] + a[i + 2] - b[i] - b[i + 2]) ** 2 / 4 for i in (0, 1))
        around = sum((max(a[i + 2], b[i + 2]) - min(a[i], b[i])) ** 2 for i in (0, 1))
        loss = 1 - plain_iou(a, b) + apart / around
        if math.sqrt((b[2] - b[0]) * (b[3] - b[1])) < 20:
            small += 1
            sizes = sum(((a[i + 2] - a[i] - b[i + 2] + b[i]) / 2) ** 2 for i in (0, 1))
            far = 1 - math.exp(-math.sqrt(apart + sizes) / 12)
            loss = 0.8 * loss + 0.2 * far
        terms.setdefault(face, []).append(loss)
    assert len(terms) > 3
    assert 0 < small < sum(map(len, terms.values()))
    assert len({len(of_face) for of_face in terms.values()}) > 1
    expected = sum(sum(of_face) / len(of_face) for of_face in terms.values()) / len(terms)
    found = DistanceIoUBoxes(small_face=20)(setting[0], matched)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("beta", "power"), [(2.0, 1.0), (1.0, 0.5), (1.5, 1.0)])
def test_quality_equals_its_definition(setting, matched, beta, power):
    outputs, _, assignment = setting
    quality = {where: plain_iou(a, b) ** power for a, b, _, where in positives(setting)}
    assert set(assignment.labels.unique().tolist()) == {-1, 0, 1}
    expected = 0.0
    for image, row in enumerate(outputs.logits.tolist()):
        for prior, (background, face) in enumerate(row):
            if assignment.labels[image, prior] >= 0:
                y, s = quality.get((image, prior), 0.0), 1 / (1 + math.exp(background - face))
                entropy = -y * math.log(s) - (1 - y) * math.log(1 - s)
                expected += abs(y - s) ** beta * entropy
    found = QualityFocalLoss(beta, power)(outputs, matched)
    assert found.item() == pytest.approx(expected / len(quality), rel=1e-5)


def test_distances_by_hand():
    a = torch.tensor([[0.0, 0, 10, 10]]).expand(3, 4)
    b = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [2, 2, 8, 8]])
    # Apart by 20 px in a box of 30 x 10; then concentric: 36 of 100 square pixels.
    expected = torch.tensor([1, -400 / 1000, 0.36])
    torch.testing.assert_close(distance_iou(a, b), expected)
    # Sizes that differ by 4 px, as Gaussians of half of it, each way.
    expected = torch.tensor([0, 20, math.sqrt(8)])
    torch.testing.assert_close(gaussian_distance(a, b), expected, atol=1e-5, rtol=0)


def test_only_labelled_priors_get_gradients(setting, matched):
    outputs, _, assignment = setting
    DistanceIoUBoxes()(outputs, matched).backward()
    QualityFocalLoss()(outputs, matched).backward()
    assert torch.equal(outputs.deltas.grad.any(dim=-1), assignment.labels == 1)
    assert torch.equal(outputs.logits.grad.any(dim=-1), assignment.labels >= 0)
    assert outputs.landmarks.grad is None


def test_perfect_outputs_have_no_loss(setting, matched):
    _, targets, assignment = setting
    boxes = targets.boxes[assignment.face_index]
    logits = torch.zeros(*boxes.shape[:2], 2)
    logits[..., 1] = torch.where(assignment.labels == 1, 100.0, -100.0)
    perfect = Outputs(
        encode_boxes(boxes, PRIORS.boxes_cxcywh, SPEC.variances), logits, torch.empty(0)
    )
    for term in (DistanceIoUBoxes(), QualityFocalLoss()):
        assert float(term(perfect, matched)) == pytest.approx(0, abs=1e-4)


def test_a_face_has_one_vote(setting, matched):
    """Each positive twice: the same loss."""
    outputs = setting[0]
    twice = torch.arange(len(matched.face)).repeat(2)
    more = matched._replace(
        rows=tuple(rows[twice] for rows in matched.rows),
        **{name: getattr(matched, name)[twice] for name in ("face", "boxes", "priors_cxcywh")},
    )
    term = DistanceIoUBoxes()
    torch.testing.assert_close(term(outputs, more), term(outputs, matched))


@pytest.mark.parametrize("value", [0.0, -1e4, 40.0, 1e3])
def test_degenerate_predictions_have_finite_gradients(value, setting, matched):
    """Boxes of no size, enormous ones, far away ones, and certain scores."""
    outputs = Outputs(*(torch.full_like(o, value).requires_grad_() for o in setting[0]))
    for term in (DistanceIoUBoxes(), QualityFocalLoss()):
        loss = term(outputs, matched)
        loss.backward()
        assert loss.isfinite()
    assert outputs.deltas.grad.isfinite().all()
    assert outputs.logits.grad.isfinite().all()


def test_equal_boxes_have_finite_gradients(setting, matched):
    exact = encode_boxes(matched.boxes, matched.priors_cxcywh, matched.variances)
    deltas = torch.zeros_like(setting[0].deltas)
    deltas[matched.rows] = exact
    outputs = setting[0]._replace(deltas=deltas.requires_grad_())
    DistanceIoUBoxes(small_face=1e3, distance_share=1)(outputs, matched).backward()
    assert deltas.grad.isfinite().all()


def test_images_without_faces_teach_background(make_targets, make_outputs):
    outputs, targets = make_outputs(2, len(PRIORS.boxes_cxcywh)), make_targets([0, 0])
    matched = gather_positives(DynamicAssigner()(PRIORS, outputs, targets), PRIORS, targets)
    boxes, quality = DistanceIoUBoxes()(outputs, matched), QualityFocalLoss()(outputs, matched)
    (boxes + quality).backward()
    assert boxes.item() == 0
    assert not outputs.deltas.grad.any()
    assert outputs.logits.grad.any(dim=-1).all()


class Linear(torch.nn.Module):
    """The smallest network with outputs: one number per prior and channel."""

    priors = SPEC

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(len(PRIORS.boxes_cxcywh), 16) * 0.1)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float().mean(dim=(1, 2, 3)) / 255

    def forward(self, images: torch.Tensor) -> Outputs:
        rows = (images[:, None] @ self.weight.flatten()[None]).view(len(images), -1, 16)
        return Outputs(*rows.split((4, 2, 10), dim=-1))


def test_learns_under_autocast(make_targets):
    """In bf16, with the dynamic assigner, small faces and flagged ones: all terms fall."""
    torch.manual_seed(0)
    targets = make_targets([4, 3], side=96)
    batch = Batch(
        torch.full((2, 3, 96, 96), 255, dtype=torch.uint8), targets, ("a", "b"), torch.ones(2, 2)
    )
    terms = {
        "box": DistanceIoUBoxes(), "class": QualityFocalLoss(), "landmark": SmoothL1Landmarks()
    }  # fmt: skip
    objective = DetectionObjective(
        DynamicAssigner(), WeightedTerms(terms, {"box": 2, "class": 1, "landmark": 1})
    )
    network = Linear()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.2)
    losses = []
    for _ in range(12):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs, found = objective(network, batch)
        assert outputs.deltas.dtype == torch.bfloat16
        optimizer.zero_grad()
        found.total.backward()
        optimizer.step()
        losses.append({name: part.item() for name, part in found.parts.items()})
    assert losses[-1]["box"] < 0.9 * losses[0]["box"]
    assert losses[-1]["class"] < 0.1 * losses[0]["class"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DistanceIoUBoxes(distance_share=1.1), "a distance_share from 0 to 1 and a small"),
        (lambda: DistanceIoUBoxes(distance_scale=0), "expected a distance_scale above 0, got 0"),
        (lambda: QualityFocalLoss(beta=0.5), "expected a beta of 1 or more and an iou_power above"),
        (lambda: QualityFocalLoss(iou_power=0), "expected a beta of 1 or more and an iou_power"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()
