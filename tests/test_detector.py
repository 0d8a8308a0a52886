"""The Python interface: any image in, faces in its pixels out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from src import checkpoint
from src.data.dataset import EvaluationDataset, collate_evaluation
from src.data.reading import Annotation
from src.detection.boxes import pairwise_iou
from src.detection.coding import encode_boxes, encode_landmarks
from src.detection.decoding import Decoder
from src.detection.inference import Views, detect
from src.detection.priors import PriorSpec, make_priors
from src.detector import Detector, load_detector
from src.evaluation import read_predictions
from src.models import featherface_v1
from src.types import Faces, Outputs


def load(weights, **options):
    return load_detector(weights, device="cpu", **{"score_threshold": 0.3, **options})


def picture(height=80, width=120):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(80, 120), (1, 1), (17, 1000), (3, 1000), (33, 31)])
@pytest.mark.parametrize("long_side", [None, 64])
def test_any_size(weights, size, long_side):
    boxes, scores, landmarks = load(weights, long_side=long_side)(picture(*size))
    assert len(scores) > 0
    assert boxes.shape == (len(scores), 4)
    assert landmarks.shape == (len(scores), 5, 2)
    assert (scores > 0.3).all()
    assert scores.diff().le(0).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_the_threshold_counts(weights):
    assert len(load(weights, score_threshold=1.0)(picture()).scores) == 0
    low, high = (load(weights, score_threshold=t)(picture()).scores for t in (0.3, 0.5))
    assert 0 < len(high) < len(low)


def test_the_same_image_gives_the_same_faces(weights):
    detector, image = load(weights), picture()
    first = detector(image)
    assert np.array_equal(image, picture())  # the caller's pixels are left alone
    strided = np.repeat(picture(), 2, axis=1)[:, ::2]
    for found in (detector(image), load(weights)(image), detector(strided)):
        assert all(torch.equal(a, b) for a, b in zip(first, found, strict=True))


def test_images_of_a_batch_do_not_touch_each_other(weights):
    detector, images = load(weights), [picture(), 255 - picture()]
    pixels = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        together = detect(detector.model, detector.decoder, pixels, torch.ones(2, 2), Views())
    for image, found in zip(images, together, strict=True):
        for a, b in zip(detector(image), found, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_long_side_answers_in_pixels_of_the_image(weights):
    image = picture()
    small = cv2.resize(image, (60, 40), interpolation=cv2.INTER_AREA)
    expected, found = load(weights)(small), load(weights, long_side=60)(image)
    torch.testing.assert_close(found.boxes, 2 * expected.boxes)
    torch.testing.assert_close(found.landmarks, 2 * expected.landmarks)


class FindsOnePlace(torch.nn.Module):
    """A stand-in network: one face, always at the same place of its input; keeps what it saw."""

    priors = PriorSpec()
    place = torch.tensor([0.1, 0.75, 0.2, 0.98])  # (x1, y1, x2, y2), fractions of the sides

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen.append(pixels)
        return pixels.float()

    def forward(self, images: torch.Tensor) -> Outputs:
        size = images.shape[-2:]
        box = self.place * torch.tensor([size[1], size[0]] * 2)
        priors, variances = make_priors(self.priors, *size), self.priors.variances
        logits = torch.tensor([5.0, -5.0]).repeat(len(images), len(priors), 1)
        logits[:, 0, 1] = 10.0
        points = box.view(1, 2, 2)[:, [0, 1, 0, 1, 0]]
        return Outputs(
            encode_boxes(box, priors, variances).expand(len(images), -1, -1),
            logits,
            encode_landmarks(points, priors, variances).expand(len(images), -1, -1),
        )


@pytest.mark.parametrize("views", [Views(), Views((0.73, 1.0, 1.31))])
@pytest.mark.parametrize("long_side", [None, 320, 64])
@pytest.mark.parametrize("size", [(427, 1023), (1023, 427), (3, 1000)])
def test_faces_come_back_to_where_they_are(size, long_side, views):
    expected = FindsOnePlace.place * torch.tensor([size[1], size[0]] * 2)
    detector = Detector(FindsOnePlace(), long_side=long_side, views=views, device="cpu")
    boxes, _, landmarks = detector(picture(*size))
    torch.testing.assert_close(boxes, expected[None], atol=0.01, rtol=0)
    torch.testing.assert_close(landmarks[0, :2].flatten(), expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("long_side", [None, 320])
def test_the_pixels_and_faces_of_the_evaluation(tmp_path, long_side):
    cv2.imwrite(str(tmp_path / "a.png"), picture(427, 1023))
    box = FindsOnePlace.place.numpy() * np.tile([1023, 427], 2).astype(np.float32)
    faces = Faces(box[None], np.zeros((1, 5, 2), np.float32), *np.zeros((2, 1), dtype=bool))
    annotation = Annotation("event/a.png", tmp_path / "a.png", faces)
    batch = collate_evaluation([EvaluationDataset([annotation], long_side)[0]])
    network = FindsOnePlace()
    detector = Detector(network, long_side=long_side, device="cpu")
    found = detector(picture(427, 1023))
    assert torch.equal(network.seen[0], batch.images)
    (measured,) = detect(network, detector.decoder, batch.images, batch.scales, Views())
    assert all(torch.equal(a, b) for a, b in zip(found, measured, strict=True))
    there = batch.targets.boxes / batch.scales.repeat(1, 2)
    torch.testing.assert_close(there, torch.from_numpy(box[None]), atol=0.01, rtol=0)
    torch.testing.assert_close(found.boxes, there, atol=0.01, rtol=0)


def test_flipped_views_make_it_blind_to_left_and_right(weights):
    # Size a multiple of the largest stride: its grid of priors is then symmetric.
    image = picture(64, 96)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    # Without suppression, which may settle equal scores the other way round in the mirror.
    everything = Decoder(score_threshold=0.3, nms_iou=1)
    both, one = (
        Detector(checkpoint.load(weights).model, decoder=everything, views=views, device="cpu")
        for views in (Views(flip=True), Views())
    )
    assert len(both(image).scores) == len(one(image).scores) + len(one(mirrored).scores)
    torch.testing.assert_close(both(image).scores, both(mirrored).scores, rtol=1e-4, atol=1e-5)
    x1, y1, x2, y2 = both(mirrored).boxes.unbind(1)
    turned = torch.stack([96 - x2, y1, 96 - x1, y2], dim=1)
    assert pairwise_iou(both(image).boxes, turned).amax(dim=1).min() > 0.999


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("photo.jpg", r"BGR image \[H, W, 3\] as cv2.imread gives it, got str"),
        (None, "got NoneType"),  # what cv2.imread gives for a missing file
        (np.zeros((4, 4), np.uint8), r"got \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"got \(4, 4, 4\)"),
        (np.zeros((4, 4, 3)), r"uint8 pixels and no empty side, got float64 \(4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"no empty side, got uint8 \(0, 4, 3\)"),
    ],
)
def test_wrong_images(weights, image, message):
    with pytest.raises(ValueError, match=message):
        load(weights)(image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"long_side": 0}, "long_side from 1 to 65,536 pixels, or none, got 0"),
        ({"long_side": 10**9}, "long_side from 1 to 65,536 pixels, or none, got 1000000000"),
        ({"long_side": "big"}, "long_side from 1 to 65,536 pixels, or none, got 'big'"),
        ({"device": "gpu"}, "a device that PyTorch finds here, .*, got gpu;"),
        ({"device": "cuda:99"}, "such as cpu or cuda, got cuda:99;"),
    ],
)
def test_wrong_options(weights, options, message):
    with pytest.raises(ValueError, match=message):
        Detector(checkpoint.load(weights).model, **options)


def test_a_detector_keeps_confident_faces_by_default(weights):
    detector = Detector(featherface_v1(channels=8, bifpn_repeats=1).train(), device="cpu")
    assert detector.decoder == Decoder(score_threshold=0.5)
    assert not detector.model.training


@pytest.mark.real_data
def test_published_weights_find_the_published_faces(shared):
    name = "0--Parade/0_Parade_Parade_0_376.jpg"
    detector = load_detector(shared / "weights" / "mobilenet0.25_Final.pth", device="cpu")
    found = detector(cv2.imread(str(shared / "widerface/val/images" / name)))
    rows = torch.from_numpy(read_predictions(shared / "golden/predictions_v1", [name])[name])
    golden = rows[rows[:, 4] > 0.5]
    assert len(golden) == len(found.scores) == 8
    corners = torch.cat([golden[:, :2], golden[:, :2] + golden[:, 2:4]], dim=1)
    best = pairwise_iou(corners, found.boxes.double()).max(dim=1)
    assert best.values.min() > 0.99
    assert sorted(best.indices.tolist()) == list(range(8))
    torch.testing.assert_close(found.scores[best.indices].double(), golden[:, 4], rtol=0, atol=1e-3)
