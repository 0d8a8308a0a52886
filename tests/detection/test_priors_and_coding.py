"""Priors, box geometry, encoding."""

from __future__ import annotations

import pytest
import torch

from src.detection.boxes import pairwise_iou, to_centres, to_corners
from src.detection.coding import decode_boxes, decode_landmarks, encode_boxes, encode_landmarks
from src.detection.priors import PriorSpec, make_priors, priors_for


def test_number_and_order_of_priors():
    priors = make_priors(PriorSpec(), 640, 640)
    assert len(priors) == 16_800
    # Level, row, column, size: two sizes of the first cell, then the cell to its right.
    assert priors[:3].tolist() == [[4, 4, 16, 16], [4, 4, 32, 32], [12, 4, 16, 16]]
    assert priors[2 * 80].tolist() == [4, 12, 16, 16]
    assert priors[2 * 6400].tolist() == [8, 8, 64, 64]
    assert priors[-1].tolist() == [624, 624, 512, 512]


def test_odd_sizes_round_up():
    assert len(make_priors(PriorSpec(), 203, 257)) == 2 * (26 * 33 + 13 * 17 + 7 * 9)


def test_priors_are_kept_per_size_and_device():
    cpu = torch.device("cpu")
    first = priors_for(PriorSpec(), (3, 64, 96), cpu)
    assert priors_for(PriorSpec(), (3, 64, 96), cpu) is first
    assert priors_for(PriorSpec(), (3, 96, 64), cpu) is not first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": [[16.0], [32.0]]}, "one list of prior sizes per stride"),
        ({"sizes": [[16.0], [32.0], [0.0]]}, "positive sizes of at most 65,536 pixels"),
        ({"sizes": [[16.0], [32.0], [float("nan")]]}, "positive sizes of at most 65,536 pixels"),
        ({"sizes": [[16.0], [32.0], ["6_4"]]}, "prior sizes as a list of pixels per level"),
        ({"sizes": [[16.0] * 65] * 3}, "at most 64 prior sizes"),
        ({"variances": [0.1, float("nan")]}, "two positive variances"),
        ({"variances": [0.1]}, "two positive variances"),
    ],
)
def test_wrong_priors(arguments, message):
    with pytest.raises(ValueError, match=message):
        PriorSpec(**arguments)


def random_boxes(*shape: int) -> torch.Tensor:
    low = torch.rand(*shape, 2) * 100
    return torch.cat([low, low + 1 + torch.rand(*shape, 2) * 50], dim=-1)


def test_iou_values():
    a = torch.tensor([[0.0, 0, 10, 10]])
    b = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]])
    torch.testing.assert_close(pairwise_iou(a, b), torch.tensor([[1, 1 / 3, 0, 0]]))
    assert pairwise_iou(a[:0], b).shape == (0, 4)
    empty = torch.zeros(1, 4)
    assert pairwise_iou(empty, empty).item() == 0


def test_iou_is_symmetric_and_bounded():
    a, b = random_boxes(20), random_boxes(30)
    iou = pairwise_iou(a, b)
    torch.testing.assert_close(iou, pairwise_iou(b, a).T)
    assert ((iou >= 0) & (iou <= 1)).all()


def test_corner_and_centre_forms_are_inverse():
    boxes = random_boxes(3, 7)
    torch.testing.assert_close(to_corners(to_centres(boxes)), boxes)


def test_coding_is_inverse():
    boxes, priors = random_boxes(4, 50), to_centres(random_boxes(4, 50))
    points = torch.rand(4, 50, 5, 2) * 100
    variances = (0.1, 0.2)
    back = decode_boxes(encode_boxes(boxes, priors, variances), priors, variances)
    torch.testing.assert_close(back, boxes, rtol=1e-4, atol=1e-3)
    back = decode_landmarks(encode_landmarks(points, priors, variances), priors, variances)
    torch.testing.assert_close(back, points, rtol=1e-4, atol=1e-3)


def test_encoding_by_hand():
    # Centre 4 px right of a 20 px prior: 4 / 20 / 0.1 = 2; twice as wide: ln 2 / 0.2.
    prior = torch.tensor([10.0, 10, 20, 20])
    box = torch.tensor([-6.0, 0, 34, 20])
    expected = torch.tensor([2.0, 0, torch.log(torch.tensor(2.0)) / 0.2, 0])
    torch.testing.assert_close(encode_boxes(box, prior, (0.1, 0.2)), expected)


def test_decoding_of_wild_outputs_is_finite():
    decoded = decode_boxes(torch.full((1, 4), 1e4), torch.tensor([[8.0, 8, 16, 16]]), (0.1, 0.2))
    assert decoded.isfinite().all()
