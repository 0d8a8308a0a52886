"""The dynamic assigner against a slow loop, by hand, and at its limits."""

from __future__ import annotations

import math

import pytest
import torch

from src.detection.assignment import MaxIoUAssigner
from src.detection.boxes import box_sides, pairwise_iou, to_corners
from src.detection.coding import decode_boxes, encode_boxes
from src.detection.dynamic import DynamicAssigner
from src.detection.priors import PriorSpec, priors_for
from src.types import Outputs, Targets

SPEC = PriorSpec()
CPU = torch.device("cpu")
EVERY_FACE = DynamicAssigner(ignore_below=0)
STRIDES = {16: 8, 32: 8, 64: 16, 128: 16, 256: 32, 512: 32}


def candidates(priors: torch.Tensor, box: list[float]) -> list[int]:
    """Priors of a face by the definition."""
    x1, y1, x2, y2 = box
    side = math.sqrt((x2 - x1) * (y2 - y1))
    found = []
    for index, (x, y, prior, _) in enumerate(priors.tolist()):
        inside = x1 <= x <= x2 and y1 <= y <= y2
        near = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) <= STRIDES[prior]
        if (inside or near) and 1 / 4 <= prior / side <= 4:
            found.append(index)
    return found


def slow(reference, priors, outputs, targets, image: int) -> dict[int, int]:
    """Prior -> index of its face in the batch, with the defaults."""
    mine = ((targets.image_index == image) & ~targets.ignore).nonzero().flatten().tolist()
    costs, overlaps, least = [], [], []
    for face in mine:
        box = targets.boxes[face]
        cost, overlap = {}, {}
        for prior in candidates(priors.boxes_cxcywh, box.tolist()):
            decoded = decode_boxes(
                outputs.deltas[image, prior], priors.boxes_cxcywh[prior], SPEC.variances
            )
            y = pairwise_iou(decoded[None], box[None]).item()
            background, positive = outputs.logits[image, prior].tolist()
            s = 1 / (1 + math.exp(background - positive))
            entropy = -y * math.log(s) - (1 - y) * math.log(1 - s)
            cost[prior] = (y - s) ** 2 * entropy - 3 * math.log(max(y, 1e-7))
            overlap[prior] = y
        costs.append(cost)
        overlaps.append(overlap)
        least.append(2 if box_sides(box) < 16 else 1)
    chosen = reference.choose(costs, overlaps, least, 10)
    return {prior: mine[face] for prior, face in chosen.items()}


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_slow_loop(seed, make_targets, make_outputs, slow_dynamic):
    torch.manual_seed(seed)
    priors = priors_for(SPEC, (64, 96), CPU)
    targets = make_targets([5, 0, 12, 1], side=90)
    outputs = make_outputs(4, len(priors.boxes_cxcywh))
    found = EVERY_FACE(priors, outputs, targets)
    for image in range(4):
        expected = slow(slow_dynamic, priors, outputs, targets, image)
        labels = found.labels[image]
        assert (labels == 1).nonzero().flatten().tolist() == sorted(expected)
        for prior, face in expected.items():
            assert found.face_index[image, prior] == face


def perfect_outputs(priors, targets, prior_face: dict[int, int]) -> Outputs:
    """Predict these faces at these priors of one image, and nothing elsewhere."""
    deltas = torch.zeros(1, len(priors.boxes_cxcywh), 4)
    logits = torch.zeros(1, len(priors.boxes_cxcywh), 2)
    logits[..., 0] = 8
    for prior, face in prior_face.items():
        deltas[0, prior] = encode_boxes(
            targets.boxes[face], priors.boxes_cxcywh[prior], SPEC.variances
        )
        logits[0, prior] = torch.tensor([0.0, 8])
    return Outputs(deltas, logits, torch.zeros(1, len(deltas[0]), 10))


def some_faces(boxes: list[list[float]]) -> Targets:
    num = len(boxes)
    no = torch.zeros(num, dtype=torch.bool)
    return Targets(
        torch.tensor(boxes).view(-1, 4), torch.zeros(num, 5, 2), no, no, torch.zeros(num).long()
    )


def test_the_best_predictions_win():
    """Not the nearest priors: those that already predict the face."""
    priors = priors_for(SPEC, (96, 96), CPU)
    targets = some_faces([[20.0, 20, 60, 60]])
    rows = candidates(priors.boxes_cxcywh, targets.boxes[0].tolist())[::7]
    outputs = perfect_outputs(priors, targets, dict.fromkeys(rows, 0))
    overlap = pairwise_iou(to_corners(priors.boxes_cxcywh), targets.boxes)[rows]
    assert overlap.min() < 0.1 < MaxIoUAssigner().min_best_iou  # far from all that max-IoU takes
    labels = DynamicAssigner(top_k=len(rows), ignore_below=0)(priors, outputs, targets).labels[0]
    assert set(rows) <= set((labels == 1).nonzero().flatten().tolist())
    assert labels[rows].all()


def test_number_of_positives_follows_the_fit():
    """Random boxes overlap little: one prior, or two if small; perfect ones bring ten."""
    priors = priors_for(SPEC, (96, 96), CPU)
    for side, least in ((40, 1), (12, 2)):
        targets = some_faces([[30.0, 30, 30 + side, 30 + side]])
        rows = candidates(priors.boxes_cxcywh, targets.boxes[0].tolist())
        far = Outputs(
            torch.full((1, len(priors.boxes_cxcywh), 4), 30.0),
            *(torch.zeros(1, len(priors.boxes_cxcywh), k) for k in (2, 10)),
        )
        assert (EVERY_FACE(priors, far, targets).labels == 1).sum() == least
        perfect = perfect_outputs(priors, targets, dict.fromkeys(rows, 0))
        # A sum of ten overlaps of 1, each rounded, may be 9.99.
        found = EVERY_FACE(priors, perfect, targets).labels
        assert (found == 1).sum() in (min(len(rows), 9), min(len(rows), 10))


def test_every_face_has_a_positive_where_possible():
    """Ten equal faces of 12 px: conflicts about each prior, and candidates enough for all."""
    priors = priors_for(SPEC, (64, 64), CPU)
    box = [26.0, 26, 38, 38]
    rows = candidates(priors.boxes_cxcywh, box)
    for number in (2, len(rows), len(rows) + 5):
        targets = some_faces([box] * number)
        found = EVERY_FACE(
            priors, perfect_outputs(priors, targets, dict.fromkeys(rows[:1], 0)), targets
        )
        answered = found.face_index[found.labels == 1].unique()
        assert len(answered) == min(number, len(rows))


@pytest.mark.parametrize(
    "assigner", [DynamicAssigner(ignore_below=5), MaxIoUAssigner(ignore_below=1)]
)
def test_no_face_of_4_to_8_pixels_is_background_alone(assigner, make_outputs):
    """Public reports have it that tiny faces become negatives: insightface 1518."""
    priors = priors_for(SPEC, (96, 96), CPU)
    outputs = make_outputs(1, len(priors.boxes_cxcywh))
    strides = torch.tensor([STRIDES[int(side)] for side in priors.boxes_cxcywh[:, 2].tolist()])
    torch.manual_seed(0)
    answered = 0
    for side in [4.0, 5.1, 6, 7, 8] * 20:
        x, y = (torch.rand(2) * (96 - side)).tolist()
        labels = assigner(priors, outputs, some_faces([[x, y, x + side, y + side]])).labels[0]
        middle = torch.tensor([x, y]) + side / 2
        near = (priors.boxes_cxcywh[:, :2] - middle).abs().amax(dim=1) <= strides / 2
        smallest = labels[near & (priors.boxes_cxcywh[:, 2] == 16)]
        assert len(smallest)
        answered += int((labels == 1).any())
        assert (labels == 1).any() or not (smallest == 0).any()
        assert isinstance(assigner, MaxIoUAssigner) or side < 5 or (labels == 1).any()
    assert answered > 0


def test_nothing_to_match(make_targets, make_outputs):
    priors = priors_for(SPEC, (64, 64), CPU)
    outputs = make_outputs(2, len(priors.boxes_cxcywh))
    none = DynamicAssigner(ignore_below=5)(priors, outputs, make_targets([0, 0]))
    assert not none.labels.any()
    assert not none.face_index.any()
    outside = some_faces([[-90.0, -90, -70, -70], [300, 10, 340, 50], [5, 5, 5, 5]])
    found = EVERY_FACE(priors, make_outputs(1, len(priors.boxes_cxcywh)), outside)
    assert not found.labels.any()


def test_a_crowd(make_targets, make_outputs):
    priors = priors_for(SPEC, (160, 160), CPU)
    targets = make_targets([500], side=160, ignored=0)
    found = EVERY_FACE(priors, make_outputs(1, len(priors.boxes_cxcywh)), targets)
    positive = found.labels == 1
    assert positive.sum() >= len(found.face_index[positive].unique()) > 300


def test_missed_faces_and_flagged_ones(make_targets, make_outputs):
    torch.manual_seed(0)
    priors = priors_for(SPEC, (96, 96), CPU)
    targets = make_targets([20], side=96, ignored=0.3)
    outputs = make_outputs(1, len(priors.boxes_cxcywh))
    plain = EVERY_FACE(priors, outputs, targets)
    assert (plain.labels == -1).any()  # around the flagged ones
    only = EVERY_FACE(priors, outputs, targets._replace(ignore=torch.zeros(20).bool()))
    assert (only.labels >= 0).all()

    small = box_sides(targets.boxes) < 12
    limited = DynamicAssigner(ignore_below=12)(priors, outputs, targets)
    flagged = EVERY_FACE(priors, outputs, targets._replace(ignore=targets.ignore | small))
    assert not torch.isin(
        limited.face_index[limited.labels == 1], (small | targets.ignore).nonzero()
    ).any()
    assert torch.equal(limited.labels == 1, flagged.labels == 1)
    assert set((flagged.labels == -1).nonzero()[:, 1].tolist()) <= set(
        (limited.labels == -1).nonzero()[:, 1].tolist()
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_outputs_that_are_no_numbers_end(value, make_targets, make_outputs):
    """The step fails with the values of its losses, not here and not never."""
    priors = priors_for(SPEC, (64, 64), CPU)
    size = len(priors.boxes_cxcywh)
    outputs = Outputs(*(torch.full((1, size, k), value) for k in (4, 2, 10)))
    found = EVERY_FACE(priors, outputs, make_targets([5], ignored=0))
    assert (found.labels == 1).any()


def test_half_precision(make_targets, make_outputs):
    priors = priors_for(SPEC, (64, 64), CPU)
    targets = make_targets([6])
    outputs = Outputs(*(o.bfloat16() for o in make_outputs(1, len(priors.boxes_cxcywh))))
    exact = EVERY_FACE(priors, Outputs(*(o.float() for o in outputs)), targets)
    found = EVERY_FACE(priors, outputs, targets)
    assert torch.equal(found.labels, exact.labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"small_face_positives": 0}, "expected 1 <= small_face_positives <= top_k, got"),
        ({"top_k": 1}, "expected 1 <= small_face_positives <= top_k, got"),
        ({"iou_weight": -1.0}, "an iou_weight and a small_face of 0 or more, got"),
        ({"ignore_below": -1}, "ignore_below of 0 pixels or more, got -1"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        DynamicAssigner(**options)
