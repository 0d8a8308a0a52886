"""Rows, priors, labels and boxes belong together, with two priors per cell and with three."""

from __future__ import annotations

import pytest
import torch

from src.detection.assignment import MaxIoUAssigner, gather_positives
from src.detection.coding import encode_boxes, encode_landmarks
from src.detection.decoding import Decoder
from src.detection.losses import HardNegativeCrossEntropy, SmoothL1Boxes, SmoothL1Landmarks
from src.detection.priors import feature_shapes, make_priors, priors_for
from src.models import FaceDetector, build_model
from src.models.heads import SharedMultiHead
from src.types import Outputs, Targets

TWO = [[16, 32], [64, 128], [256, 512]]
THREE = [
    [11.313708498984761, 16, 32],
    [45.254833995939045, 64, 128],
    [181.01933598375618, 256, 512],
]
SIZE = (96, 160)


def make(sizes: list[list[float]], shared: bool) -> FaceDetector:
    model = build_model({"name": "nano_b", "prior_sizes": sizes, "shared_heads": shared})
    return model.eval()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("sizes", [TWO, THREE])
def test_each_prediction_stands_in_the_row_of_its_prior(sizes, shared):
    """With weights of 0 a head says its bias, which here is the number of the prior in its cell."""
    model = make(sizes, shared)
    count = len(sizes[0])
    heads = [model.heads.head] if isinstance(model.heads, SharedMultiHead) else list(model.heads)
    for head in heads:
        for conv, values in ((head.boxes, 4), (head.classes, 2), (head.landmarks, 10)):
            torch.nn.init.zeros_(conv.weight)
            conv.bias.data = torch.arange(count).float().repeat_interleave(values)
    with torch.no_grad():
        outputs = model(torch.randn(1, 3, *SIZE))
    priors = make_priors(model.priors, *SIZE)
    cells = [rows * columns for rows, columns in feature_shapes(model.priors, *SIZE)]
    side = torch.cat([torch.tensor(level).repeat(n) for level, n in zip(sizes, cells, strict=True)])
    assert torch.equal(priors[:, 2], side)
    for values in outputs:
        assert torch.equal(values[0, :, 0].long(), torch.arange(len(priors)) % count)
        assert (values == values[..., :1]).all()


@pytest.mark.parametrize("sizes", [TWO, THREE])
def test_perfect_outputs_are_the_faces_and_cost_nothing(sizes):
    spec = make(sizes, shared=False).priors
    priors_of_size = priors_for(spec, SIZE, torch.device("cpu"))
    priors = priors_of_size.boxes_cxcywh
    boxes = torch.tensor(
        [[8.0, 8, 22, 24], [60, 10, 120, 80], [100, 60, 112, 71], [30, 50, 60, 84]]
    )
    targets = Targets(
        boxes=boxes,
        landmarks=boxes[:, None, :2]
        + torch.rand(4, 5, 2) * (boxes[:, None, 2:] - boxes[:, None, :2]),
        has_landmarks=torch.ones(4, dtype=torch.bool),
        ignore=torch.tensor([False, False, False, True]),
        image_index=torch.tensor([0, 0, 0, 0]),
    )
    blank = Outputs(*(torch.zeros(1, len(priors), k) for k in (4, 2, 10)))
    labels, face = (
        getattr(MaxIoUAssigner()(priors_of_size, blank, targets), name)[0]
        for name in ("labels", "face_index")
    )
    assert set(labels.tolist()) == {-1, 0, 1}
    assert set(face[labels == 1].tolist()) == {0, 1, 2}

    logits = torch.where(
        (labels == 1)[:, None], torch.tensor([-20.0, 20.0]), torch.tensor([20.0, -20.0])
    )
    outputs = Outputs(
        encode_boxes(boxes[face], priors, spec.variances)[None],
        logits[None],
        encode_landmarks(targets.landmarks[face], priors, spec.variances)[None],
    )
    (found,) = Decoder(score_threshold=0.5, nms_iou=0.9)(outputs, spec, *SIZE)
    order = found.boxes[:, 0].argsort()
    expected = boxes[:3][boxes[:3, 0].argsort()]
    torch.testing.assert_close(found.boxes[order], expected, atol=1e-3, rtol=0)
    points = targets.landmarks[:3][boxes[:3, 0].argsort()]
    torch.testing.assert_close(found.landmarks[order], points, atol=1e-3, rtol=0)

    assignment = MaxIoUAssigner()(priors_of_size, outputs, targets)
    matched = gather_positives(assignment, priors_of_size, targets)
    for term in (SmoothL1Boxes(), SmoothL1Landmarks(), HardNegativeCrossEntropy()):
        assert term(outputs, matched).item() == pytest.approx(0, abs=1e-6)
