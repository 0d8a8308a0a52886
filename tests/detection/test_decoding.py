"""Suppression, decoding and views, against slow definitions and on known scenes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from src.detection.boxes import pairwise_iou
from src.detection.coding import encode_boxes, encode_landmarks
from src.detection.decoding import Decoder
from src.detection.inference import Views, detect
from src.detection.nms import nms
from src.detection.priors import PriorSpec, make_priors
from src.types import Outputs

SPEC = PriorSpec()


def greedy(boxes: torch.Tensor, threshold: float) -> list[int]:
    kept: list[int] = []
    overlaps = (pairwise_iou(boxes, boxes) <= threshold).tolist()
    for i in range(len(boxes)):
        if all(overlaps[k][i] for k in kept):
            kept.append(i)
    return kept


def random_boxes(num: int, spread: float) -> torch.Tensor:
    low = torch.rand(num, 2) * spread
    return torch.cat([low, low + 5 + torch.rand(num, 2) * 30], dim=-1)


@pytest.mark.parametrize(("num", "spread"), [(0, 50), (1, 50), (60, 30), (700, 300), (1300, 600)])
@pytest.mark.parametrize("threshold", [0.2, 0.4, 0.7])
def test_nms_is_greedy(num, spread, threshold):
    boxes = torch.stack([random_boxes(num, spread), random_boxes(num, spread)])
    keep = nms(boxes, torch.ones(2, num, dtype=torch.bool), iou_threshold=threshold)
    for i in range(2):
        assert keep[i].nonzero().flatten().tolist() == greedy(boxes[i], threshold)


@pytest.mark.parametrize("threshold", [1 / 3, 0.5, 1.0])
def test_nms_of_ties(threshold):
    """On whole pixels many boxes are equal, and many overlaps are exactly the threshold."""
    low = torch.randint(0, 12, (900, 2)).float()
    boxes = torch.cat([low, low + torch.randint(0, 5, (900, 2))], dim=-1)
    overlaps = pairwise_iou(boxes, boxes)
    assert (overlaps == torch.tensor(threshold)).sum() > 500
    keep = nms(boxes[None], torch.ones(1, 900, dtype=torch.bool), iou_threshold=threshold)
    assert keep[0].nonzero().flatten().tolist() == greedy(boxes, threshold)


def test_nms_of_boxes_that_are_no_numbers():
    boxes = torch.tensor([[0, 0, 9, 9], [float("nan")] * 4, [0, 0, float("inf"), 9], [0, 0, 9, 9]])
    keep = nms(boxes[None], torch.ones(1, 4, dtype=torch.bool), iou_threshold=0.4)
    assert keep[0].tolist() == [True, True, True, False]


def test_nms_agrees_with_opencv():
    boxes, scores = random_boxes(400, 200), torch.linspace(1, 0.1, 400)
    keep = nms(boxes[None], torch.ones(1, 400, dtype=torch.bool), iou_threshold=0.4)
    xywh = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)
    expected = cv2.dnn.NMSBoxes(xywh.double().tolist(), scores.tolist(), 0.0, 0.4)
    assert keep[0].nonzero().flatten().tolist() == sorted(np.ravel(expected).tolist())


def test_nms_ignores_padding_and_is_idempotent():
    boxes = random_boxes(200, 60)[None]
    valid = torch.rand(1, 200) < 0.5
    keep = nms(boxes, valid, iou_threshold=0.4)
    assert not keep[~valid].any()
    assert greedy(boxes[0, valid[0]], 0.4) == keep[0, valid[0]].nonzero().flatten().tolist()
    assert torch.equal(nms(boxes, keep, iou_threshold=0.4), keep)


def test_nms_shapes():
    with pytest.raises(ValueError, match=r"boxes \[B, K, 4\] and valid \[B, K\], got \(2, 4\)"):
        nms(torch.zeros(2, 4), torch.ones(2, dtype=torch.bool), iou_threshold=0.4)


class Painted(torch.nn.Module):
    """A stand-in network that finds the painted boxes, wherever they are after a resize or flip.

    Each box is painted in a colour of its own; the network reads it back from the pixels.
    """

    priors = SPEC

    def __init__(self, colours: list[int]) -> None:
        super().__init__()
        self.colours = colours

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float()

    def forward(self, images: torch.Tensor) -> Outputs:
        priors = make_priors(SPEC, *images.shape[-2:])
        deltas = torch.zeros(len(images), len(priors), 4)
        logits = torch.tensor([5.0, -5.0]).expand(len(images), len(priors), 2).clone()
        landmarks = torch.zeros(len(images), len(priors), 10)
        for b, image in enumerate(images):
            for i, colour in enumerate(self.colours):
                y, x = ((image[0] - colour).abs() < 5).nonzero(as_tuple=True)
                if len(x) == 0:
                    continue
                box = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()
                centre = (box[:2] + box[2:]) / 2
                prior = int(((priors[:, :2] - centre).square().sum(1)).argmin())
                deltas[b, prior] = encode_boxes(box, priors[prior], SPEC.variances)
                # The left eye on the left edge, the right eye on the right one, the rest between.
                points = torch.stack([torch.lerp(box[:2], box[2:], t) for t in
                                      (0.0, 1.0, 0.5, 0.25, 0.75)])  # fmt: skip
                landmarks[b, prior] = encode_landmarks(points, priors[prior], SPEC.variances)
                logits[b, prior, 1] = 10.0 - i
        return Outputs(deltas, logits, landmarks)


BOXES = [(20, 30, 60, 80), (100, 40, 128, 72)]


def scene() -> torch.Tensor:
    image = torch.zeros(2, 3, 128, 160, dtype=torch.uint8)
    for colour, (x1, y1, x2, y2) in zip((100, 200), BOXES, strict=True):
        image[0, :, y1:y2, x1:x2] = colour
    return image


@pytest.mark.parametrize(
    "views", [Views(), Views(flip=True), Views((1.0, 2.0)), Views((2.0,), True)]
)
def test_views_see_the_same_faces(views):
    found = detect(Painted([100, 200]), Decoder(), scene(), torch.ones(2, 2), views)
    assert len(found[1].boxes) == 0
    torch.testing.assert_close(found[0].boxes, torch.tensor(BOXES).float(), atol=1.0, rtol=0)
    assert found[0].scores.diff().lt(0).all()
    left, right = found[0].landmarks[:, 0, 0], found[0].landmarks[:, 1, 0]
    assert (left < right).all()  # mirrored landmarks swap sides


def test_detections_come_back_in_original_pixels():
    scales = torch.tensor([[0.5, 0.25], [1.0, 1.0]])
    found = detect(Painted([100, 200]), Decoder(), scene(), scales, Views())
    expected = torch.tensor(BOXES).float() * torch.tensor([2, 4, 2, 4])
    torch.testing.assert_close(found[0].boxes, expected)
    torch.testing.assert_close(found[0].landmarks[:, 0], expected[:, :2])  # the left eye


def test_thresholds_and_limits():
    outputs = Painted([100, 200])(scene())
    strict = Decoder(score_threshold=0.99)  # softmax(5) passes, softmax(4) does not
    kept = strict.suppress(strict.candidates(outputs, SPEC, 128, 160))
    assert [len(k.scores) for k in kept] == [1, 0]
    decoder = Decoder(top_k=1)
    kept = decoder.suppress(decoder.candidates(outputs, SPEC, 128, 160))
    assert [len(k.scores) for k in kept] == [1, 0]


def test_nothing_above_the_threshold():
    outputs = Outputs(torch.zeros(2, 42, 4), torch.zeros(2, 42, 2), torch.zeros(2, 42, 10))
    decoder = Decoder(score_threshold=0.9)
    found = decoder.suppress(decoder.candidates(outputs, SPEC, 32, 32))
    assert [tuple(x.shape) for x in found[0]] == [(0, 4), (0,), (0, 5, 2)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Decoder(score_threshold=2), r"score_threshold in \[0, 1\]"),
        (lambda: Decoder(nms_iou=0), r"nms_iou in \(0, 1\]"),
        (lambda: Decoder(top_k=0), "top_k of at least 1, got 0"),
        (lambda: Views(()), "at least one scale, all above 0"),
        (lambda: Views((float("inf"),)), "at most 16, got"),
        (lambda: Views((float("nan"),)), "at most 16, got"),
        (lambda: Views((0.5, -1)), "at least one scale, all above 0"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_scores_that_are_no_numbers_are_no_image_without_faces():
    spec = PriorSpec()
    rows = len(make_priors(spec, 32, 32))
    outputs = Outputs(
        torch.zeros(1, rows, 4), torch.full((1, rows, 2), torch.nan), torch.zeros(1, rows, 10)
    )
    with pytest.raises(FloatingPointError, match="expected finite scores"):
        Decoder().candidates(outputs, spec, 32, 32)
