"""Assignment against a slow loop, and by hand."""

from __future__ import annotations

import pytest
import torch

from src.detection.assignment import MaxIoUAssigner, gather_positives
from src.detection.boxes import to_corners
from src.detection.priors import PriorSpec, priors_for
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
