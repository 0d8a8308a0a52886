"""What outputs mean, by hand-made ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from src.contest.outputs import detections, meaning_of
from src.detection.decoding import Decoder
from src.detection.priors import PriorSpec
from src.types import Outputs

PRIORS = PriorSpec(sizes=((16.0,),), strides=(8,))  # four cells in 16 x 16 pixels
DECODER = Decoder(score_threshold=0.3)


def raw(landmarks=True):
    generator = np.random.default_rng(0)
    sides = {"a": 4, "b": 2, "c": 10} if landmarks else {"a": 4, "b": 2}
    return {name: generator.normal(size=(1, 4, side)).astype(np.float32)
            for name, side in sides.items()}  # fmt: skip


def yunet(stride=8):
    cells = (16 // stride) ** 2
    outputs = {f"{kind}_{stride}": np.zeros((1, cells, side), np.float32)
               for kind, side in {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}.items()}  # fmt: skip
    outputs[f"cls_{stride}"][0, -1] = 0.9
    outputs[f"obj_{stride}"][0, -1] = 0.4
    outputs[f"bbox_{stride}"][0, -1] = 0.5, 0.25, np.log(2), np.log(0.5)
    outputs[f"kps_{stride}"][0, -1, :2] = 0.5, -0.5
    return outputs


def found(outputs, kind=None):
    return detections(meaning_of(outputs, kind), outputs, DECODER, PRIORS, 16, 16)


def test_raw_outputs_in_any_order_are_decoded_as_ours_are():
    outputs = raw()
    ours = Outputs(*(torch.from_numpy(outputs[name]) for name in "abc"))
    (wanted,) = DECODER(ours, PRIORS, 16, 16)
    assert len(wanted.scores) > 0
    for order in ("abc", "cba"):
        theirs = found({name: outputs[name] for name in order})
        for a, b in zip(wanted, theirs, strict=True):
            torch.testing.assert_close(a, b)


def test_probabilities_are_no_logits():
    outputs = raw(landmarks=False)
    wanted = found(outputs)
    outputs["b"] = torch.from_numpy(outputs["b"]).softmax(dim=-1).numpy()
    assert meaning_of(outputs).probabilities
    theirs = found(outputs)
    torch.testing.assert_close(wanted.scores, theirs.scores)
    torch.testing.assert_close(wanted.boxes, theirs.boxes)


def test_logits_whose_sum_is_1_are_none():
    outputs = raw(landmarks=False)
    outputs["b"][..., 0], outputs["b"][..., 1] = 3, -2
    assert not meaning_of(outputs).probabilities


def test_the_cells_of_yunet():
    result = found(yunet())
    # The last of four cells, whose corner is (8, 8): centre (12, 10), 16 wide and 4 high.
    torch.testing.assert_close(result.boxes, torch.tensor([[4.0, 8.0, 20.0, 12.0]]))
    torch.testing.assert_close(result.scores, torch.tensor([0.6]))
    assert result.landmarks[0, 0].tolist() == [12, 4]
    assert result.landmarks[0, 1].tolist() == [8, 8]
    assert meaning_of({**yunet(16), **yunet(8)}).strides == (8, 16)


def test_boxes_are_suppressed_and_faces_are_not():
    boxes = np.array([[[0, 0, 9, 9], [0, 0, 9, 8], [9, 9, 12, 12], [0, 0, 0, 0]]], np.float32)
    scores = np.array([[0.8, 0.9, 0.4, 0.0]], np.float32)
    result = found({"s": scores[..., None], "b": boxes})
    assert result.boxes.tolist() == boxes[0, [1, 2]].tolist()
    counted = {"b": boxes, "s": scores, "count": np.array([3])}
    assert meaning_of(counted).kind == "faces"
    assert found(counted).boxes.tolist() == boxes[0, :3].tolist()
    assert found(counted, "boxes").boxes.tolist() == boxes[0, [1, 2]].tolist()


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"a": np.zeros((1, 4, 4), np.float32)},
        {"cls_8": np.zeros((1, 4, 1)), "obj_8": np.zeros((1, 4, 1))},
        {"boxes": np.zeros((1, 4, 4)), "a": np.zeros((1, 4)), "b": np.zeros((1, 4))},  # which?
    ],
)
def test_other_outputs(outputs):
    with pytest.raises(ValueError, match=r"expected outputs of a face detector \(raw, boxes, "):
        meaning_of(outputs)


def test_a_kind_that_does_not_fit():
    with pytest.raises(ValueError, match=r"expected outputs of a face detector \(yunet; "):
        meaning_of(raw(), "yunet")


def test_other_priors():
    outputs = raw()
    with pytest.raises(ValueError, match=r"expected 16 rows of output for 32 x 32 .* got 4; give"):
        detections(meaning_of(outputs), outputs, DECODER, PRIORS, 32, 32)
    with pytest.raises(ValueError, match="expected 16 rows of bbox_8 for 32 x 32 pixels, got 4"):
        detections(meaning_of(yunet()), yunet(), DECODER, PRIORS, 32, 32)
