"""Distillation cell by cell, with a YuNet as teacher."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fabricated_onnx import fabricate_yunet

from src.distillation import CellDistillation, YuNet
from src.distillation.cells import fitting_rows, soft_focal
from src.distillation.yunet import Seen
from src.models import featherface_v1

FLAGSHIP = Path(__file__).parents[2] / "weights" / "flagship.onnx"


def test_the_prior_nearest_to_the_teachers_box_learns_from_it():
    boxes = torch.tensor([[[0, 0, 14, 14], [0, 0, 40, 40], [0, 0, 40, 40], [0, 0, 40, 40.0]]])
    seen = Seen(torch.tensor([[0.9, 0.5, 0.0, 0.01]]), boxes)
    sides = torch.tensor([16.0, 32.0] * 4)
    # In the last two cells next to nothing is seen, and 16 is highest.
    margin = torch.tensor([[0.0, 1, 1, 0, 1, 0, 1, 0]])
    assert fitting_rows(seen, margin, sides, 2).tolist() == [[0, 3, 4, 6]]


def test_soft_focal_is_least_where_both_agree():
    target = torch.tensor([[0.7, 0.0, 0.2]])
    agreed = torch.logit(target.clamp(1e-6))
    assert soft_focal(agreed, target) < 1e-6
    for change in (-1.0, 1.0):
        assert soft_focal(agreed + change, target) > 1e-3
    one = soft_focal(torch.tensor([[0.0]]), torch.tensor([[1.0]]))
    assert one.item() == pytest.approx(0.25 * math.log(2))
    assert soft_focal(torch.tensor([[-20.0]]), torch.tensor([[0.0]])) < 1e-6  # and no 0 / 0


class Fixed:
    """A teacher that sees one face, in the first cell."""

    checksum = "0"

    def __call__(self, pixels):
        cells = sum((pixels.shape[-2] // s) * (pixels.shape[-1] // s) for s in (8, 16, 32))
        scores = torch.zeros(len(pixels), cells)
        scores[:, 0] = 0.8
        boxes = torch.tensor([1.0, 1, 13, 13]).expand(len(pixels), cells, 4)
        return Seen(scores, boxes)


def test_a_student_comes_to_see_what_its_teacher_does(supervised, batch):
    model = featherface_v1(channels=8, bifpn_repeats=1, context="conv3x3").train()
    objective = CellDistillation(supervised, Fixed(), alpha=1.0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        outputs, terms = objective(model, batch)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        losses.append(terms.total.item())
        assert terms.total.item() == pytest.approx(terms.parts["kd"].item())
    assert losses[-1] < 0.5 * losses[0]
    score = outputs.logits.softmax(-1)[..., 1]
    assert score[:, 0].mean() > 5 * score[:, 2:].mean()
    with pytest.raises(ValueError, match="expected an alpha from 0 to 1, got 2"):
        CellDistillation(supervised, Fixed(), alpha=2)


def test_files_that_hold_no_yunet_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        YuNet(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match=r"of YuNet in .*flagship.onnx, found none .* bbox_16"):
        YuNet(FLAGSHIP)
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(ValueError, match=r"expected an ONNX file of YuNet in .*text.onnx"):
        YuNet(tmp_path / "text.onnx")


def test_decodes_every_cell(tmp_path):
    fabricate_yunet(tmp_path / "yunet.onnx")
    seen = YuNet(tmp_path / "yunet.onnx")(torch.zeros(2, 3, 64, 96, dtype=torch.uint8))
    assert seen.scores.shape == (2, 8 * 12 + 4 * 6 + 2 * 3)
    assert seen.scores.unique().tolist() == [0.25]
    assert seen.boxes[1, 13].tolist() == [4, 4, 12, 12]  # row 1, column 1 of stride 8
    assert seen.boxes[0, -1].tolist() == [48, 16, 80, 48]


@pytest.mark.parametrize(("height", "width"), [(64, 100), (100, 64)])
def test_cells_that_images_do_not_fill_are_refused(height, width, tmp_path):
    fabricate_yunet(tmp_path / "yunet.onnx")
    with pytest.raises(ValueError, match=rf"multiples of 32 for YuNet, got {width}x{height}"):
        YuNet(tmp_path / "yunet.onnx")(torch.zeros(1, 3, height, width))


@pytest.mark.real_data
def test_sees_what_opencv_finds_with_the_same_file(shared):
    file = shared / "peers" / "yunet_n_dynamic.onnx"
    detector = cv2.FaceDetectorYN.create(str(file), "", (640, 480), 0.5, 0.4, 5000)
    for path in sorted((shared / "widerface" / "val").rglob("*.jpg")):
        image = cv2.resize(cv2.imread(str(path)), (640, 480))
        _, faces = detector.detect(image)
        if faces is not None and len(faces) > 5:
            break
    teacher = YuNet(file)
    assert copy.deepcopy(teacher) is teacher
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    seen = teacher(pixels)
    scores = seen.scores[0].sqrt()
    boxes = seen.boxes[0][scores > 0.5]
    ours = torch.cat([boxes, scores[scores > 0.5][:, None]], 1).numpy()
    corners = np.concatenate([ours[:, :2], ours[:, 2:4] - ours[:, :2]], 1)
    ours = ours[cv2.dnn.NMSBoxes(corners.tolist(), ours[:, 4].tolist(), 0.5, 0.4)]
    theirs = np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:4], faces[:, 14:]], 1)
    order = np.lexsort(ours.T), np.lexsort(theirs.T)
    np.testing.assert_allclose(ours[order[0]], theirs[order[1]], atol=0.51)
