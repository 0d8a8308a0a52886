"""Assignment against a slow loop, and by hand."""

from __future__ import annotations

import pytest
import torch

from src.detection.assignment import MaxIoUAssigner, gather_positives
from src.detection.boxes import pairwise_iou, to_corners
from src.detection.priors import Priors, PriorSpec, priors_for
from src.types import Targets

SPEC = PriorSpec()


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_slow_loop(seed, make_targets, make_outputs, slow_matching):
    torch.manual_seed(seed)
    priors = priors_for(SPEC, (96, 128), torch.device("cpu"))
    counts = [4, 0, 9, 1]
    targets = make_targets(counts)
    found = MaxIoUAssigner()(priors, make_outputs(4, len(priors.boxes_cxcywh)), targets)
    corners = to_corners(priors.boxes_cxcywh).tolist()
    for image in range(len(counts)):
        mine = targets.image_index == image
        first = int(mine.nonzero()[0]) if mine.any() else 0
        expected = slow_matching.assign(
            corners, targets.boxes[mine].tolist(), targets.ignore[mine].tolist(), 0.35, 0.2
        )
        assert found.labels[image].tolist() == [label for label, _ in expected]
        for prior, (label, face) in enumerate(expected):
            if label == 1:
                assert found.face_index[image, prior] == first + face


def one_face(box: list[float], *, ignore: bool = False) -> Targets:
    return Targets(
        torch.tensor([box]), torch.zeros(1, 5, 2), torch.tensor([False]),
        torch.tensor([ignore]), torch.tensor([0]),
    )  # fmt: skip


def test_a_face_on_a_prior(make_outputs):
    priors = priors_for(SPEC, (64, 64), torch.device("cpu"))
    targets = one_face([-4.0, -4, 12, 12])  # exactly the first prior, 16 px around (4, 4)
    labels = MaxIoUAssigner()(priors, make_outputs(1, len(priors.boxes_cxcywh)), targets).labels
    assert labels[0, 0] == 1
    # 32 px around (4, 4) overlaps by 1/4, its 16 px neighbour by 1/3: background at 0.35.
    assert labels[0, 1] == 0
    assert labels[0, 2] == 0
    outputs = make_outputs(1, len(priors.boxes_cxcywh))
    labels = MaxIoUAssigner(iou_threshold=0.25)(priors, outputs, targets).labels
    assert labels[0, 1] == 1  # the threshold itself is enough


def test_a_tiny_face_takes_nothing(make_outputs):
    priors = priors_for(SPEC, (64, 64), torch.device("cpu"))
    targets = one_face([1.0, 1, 5, 5])  # 16 of 256 square pixels: below 0.2
    labels = MaxIoUAssigner()(priors, make_outputs(1, len(priors.boxes_cxcywh)), targets).labels
    assert not labels.any()


def test_an_ignored_face_is_neither_face_nor_background(make_outputs):
    priors = priors_for(SPEC, (64, 64), torch.device("cpu"))
    targets = one_face([-4.0, -4, 12, 12], ignore=True)
    labels = MaxIoUAssigner()(priors, make_outputs(1, len(priors.boxes_cxcywh)), targets).labels
    assert labels[0, 0] == -1
    assert (labels == 1).sum() == 0


def test_no_faces_at_all(make_targets, make_outputs):
    priors = priors_for(SPEC, (32, 32), torch.device("cpu"))
    found = MaxIoUAssigner()(
        priors, make_outputs(2, len(priors.boxes_cxcywh)), make_targets([0, 0])
    )
    assert not found.labels.any()
    assert not found.face_index.any()


def test_a_crowd(make_targets, make_outputs):
    priors = priors_for(SPEC, (320, 320), torch.device("cpu"))
    targets = make_targets([1900], side=320, ignored=0)
    found = MaxIoUAssigner()(priors, make_outputs(1, len(priors.boxes_cxcywh)), targets)
    assert found.face_index.max() < 1900
    assert (found.labels == 1).sum() > 500


def test_positives_stand_beside_their_faces(make_targets, make_outputs):
    priors = priors_for(SPEC, (96, 128), torch.device("cpu"))
    targets = make_targets([4, 0, 9])
    outputs = make_outputs(3, len(priors.boxes_cxcywh))
    assignment = MaxIoUAssigner()(priors, outputs, targets)
    matched = gather_positives(assignment, priors, targets)
    assert torch.equal(matched.positive, assignment.labels == 1)
    assert torch.equal(matched.negative, assignment.labels == 0)
    assert (~matched.positive & ~matched.negative).any()  # some are ignored
    assert matched.positive.sum() == len(matched.face) > 9
    for i, (image, prior) in enumerate(zip(*matched.rows, strict=True)):
        face = assignment.face_index[image, prior]
        assert matched.face[i] == face
        assert targets.image_index[face] == image
        assert torch.equal(matched.boxes[i], targets.boxes[face])
        assert torch.equal(matched.landmarks[i], targets.landmarks[face])
        assert matched.has_landmarks[i] == targets.has_landmarks[face]
        assert torch.equal(matched.priors_cxcywh[i], priors.boxes_cxcywh[prior])
    assert torch.equal(outputs.deltas[matched.rows], outputs.deltas[matched.positive])


@pytest.mark.parametrize("values", [(0.35, 0.5), (1.2, 0.2), (0.35, 0)])
def test_wrong_thresholds(values):
    with pytest.raises(ValueError, match="expected 0 < min_best_iou <= iou_threshold < 1"):
        MaxIoUAssigner(*values)


def test_the_smallest_overlap_is_not_lost(make_targets, make_outputs):
    """Every prior against every face, at thresholds that many pairs are near."""
    torch.manual_seed(0)
    priors = priors_for(SPEC, (64, 96), torch.device("cpu"))
    targets = make_targets([40], side=96, ignored=0)
    overlaps = pairwise_iou(targets.boxes, to_corners(priors.boxes_cxcywh))
    for threshold in (0.05, 0.35, 0.6):
        assign = MaxIoUAssigner(threshold, threshold)
        found = assign(priors, make_outputs(1, len(priors.boxes_cxcywh)), targets)
        assert torch.equal(found.labels[0] == 1, overlaps.amax(dim=0) >= threshold)


# Faces that no prior answers for


def test_missed_faces_are_background_unless_asked(make_outputs):
    priors = priors_for(SPEC, (64, 64), torch.device("cpu"))
    outputs = make_outputs(1, len(priors.boxes_cxcywh))
    targets = one_face([29.0, 29, 33, 33])  # 4 px around (31, 31)
    assert not MaxIoUAssigner()(priors, outputs, targets).labels.any()
    labels = MaxIoUAssigner(ignore_below=1)(priors, outputs, targets).labels
    ignored = priors.boxes_cxcywh[labels[0] == -1]
    # One stride of 8 px around the centre has 2 x 2 cells of 16 and 32 px, one of 16 px 2 x 2 of
    # 64 px: up to four times the smallest prior. It overlaps nothing by 0.1.
    assert labels.min() == -1
    assert not (labels == 1).any()
    assert sorted(ignored[:, 2].tolist()) == [16.0] * 4 + [32.0] * 4 + [64.0] * 4
    assert (ignored[:8, :2] - 31).abs().max() <= 8
    assert (ignored[8:, :2] - 31).abs().max() <= 16


def test_faces_below_the_limit_take_nothing(make_outputs):
    priors = priors_for(SPEC, (64, 64), torch.device("cpu"))
    outputs = make_outputs(1, len(priors.boxes_cxcywh))
    targets = one_face([-4.0, -4, 12, 12])  # exactly the first prior
    kept = MaxIoUAssigner(ignore_below=16)(priors, outputs, targets)
    assert kept.labels[0, 0] == 1
    assert kept.labels.min() == 0  # a face with a positive ignores nothing
    labels = MaxIoUAssigner(ignore_below=16.1)(priors, outputs, targets).labels
    overlaps = pairwise_iou(targets.boxes, to_corners(priors.boxes_cxcywh))[0]
    near = (priors.boxes_cxcywh[:, :2] - 4).abs().amax(dim=1) <= strides_of(priors)
    near &= priors.boxes_cxcywh[:, 2] <= 64
    assert torch.equal(labels[0] == -1, near | (overlaps >= 0.1))
    assert not (labels == 1).any()


def test_other_faces_keep_their_priors(make_targets, make_outputs):
    torch.manual_seed(0)
    priors = priors_for(SPEC, (96, 96), torch.device("cpu"))
    targets = make_targets([30, 30], side=96)
    outputs = make_outputs(2, len(priors.boxes_cxcywh))
    small = (targets.boxes[:, 2:] - targets.boxes[:, :2]).prod(dim=1).sqrt() < 10
    assert small.any()
    plain = MaxIoUAssigner()(priors, outputs, targets._replace(ignore=targets.ignore | small))
    found = MaxIoUAssigner(ignore_below=10)(priors, outputs, targets)
    assert torch.equal(found.labels == 1, plain.labels == 1)
    assert torch.equal(found.face_index, plain.face_index)
    assert (found.labels == -1).sum() > (plain.labels == -1).sum()


def strides_of(priors: Priors) -> torch.Tensor:
    """Of each prior of the default sizes."""
    sides = priors.boxes_cxcywh[:, 2]
    return torch.where(sides <= 32, 8, torch.where(sides <= 128, 16, 32))


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_wrong_limit(value):
    with pytest.raises(ValueError, match=r"ignore_below of 0 pixels or more, got .*; set assigner"):
        MaxIoUAssigner(ignore_below=value)
