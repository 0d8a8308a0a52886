"""Boxes without a face, and faces without a box."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from src.evaluation import ImageTruth
from src.evaluation.mistakes import find_mistakes
from src.evaluation.wider_ap import FIRST_HIT, match_image
from src.training.mistakes import TILE, MistakeSheets
from src.types import Batch, Detections, Targets

FACES = np.array([[10, 10, 12, 12], [50, 10, 20, 20], [10, 60, 40, 40], [80, 80, 15, 15]], float)
HARD = np.array([True, True, True, False])
TRUTH = ImageTruth(FACES, HARD, HARD, HARD)
BOXES = np.array(
    [
        [50, 10, 70, 30],  # on the second
        [11, 61, 51, 101],  # nearly on the third
        [80, 80, 95, 95],  # on the one that does not count
        [0, 40, 8, 48],  # on nothing
        [10, 10, 22, 22],  # on the first, not seen
    ],
    float,
)
SCORES = np.array([0.9, 0.4, 0.8, 0.7, 0.2])


def test_what_is_a_mistake():
    wrong = find_mistakes(BOXES, SCORES, TRUTH)
    assert wrong.false.tolist() == [[0, 40, 8, 48]]
    assert wrong.false_scores.tolist() == [0.7]
    assert wrong.missed.tolist() == [[10, 10, 22, 22]]
    assert wrong.missed_size.tolist() == [0]


def test_matched_as_the_ap_matches():
    """Sides count one pixel longer: 5.8 of 12 columns are 0.48 as they are, and 0.52 there."""
    box = np.array([[10.0, 10.0, 15.8, 22.0]])
    wrong = find_mistakes(box, np.array([0.9]), TRUTH)
    hit = match_image(np.array([[10.0, 10.0, 5.8, 12.0, 0.9]]), TRUTH).flags[0] & FIRST_HIT
    assert bool(hit) == (len(wrong.false) == 0) == (len(wrong.missed) == 2)
    assert hit


@pytest.mark.parametrize("number", [0, 3])
def test_nothing_found_or_labelled(number):
    none = np.zeros((0, 4))
    wrong = find_mistakes(none, np.zeros(0), TRUTH)
    assert (len(wrong.false), len(wrong.missed)) == (0, 3)
    assert wrong.missed_size.tolist() == [0, 1, 2]
    nobody = np.zeros(0, bool)
    wrong = find_mistakes(BOXES[:number], SCORES[:number], ImageTruth(none, nobody, nobody, nobody))
    assert (len(wrong.false), len(wrong.missed)) == ({0: 0, 3: 2}[number], 0)


class Module:
    """What the callback asks of the evaluator."""

    class metric:
        truth = {"e/a.jpg": TRUTH}  # noqa: RUF012


class Trainer:
    is_global_zero = True


def test_sheets(tmp_path, caplog):
    caplog.set_level("INFO")
    batch = Batch(
        torch.randint(0, 256, (1, 3, 120, 120), dtype=torch.uint8), Targets(*[torch.zeros(0)] * 5),
        ("e/a.jpg",), torch.ones(1, 2),
    )  # fmt: skip
    found = Detections(torch.tensor(BOXES), torch.tensor(SCORES), torch.zeros(5, 5, 2))
    sheets = MistakeSheets(tmp_path, 4)
    sheets.on_test_batch_end(Trainer(), Module(), {"detections": [found]}, batch, 0)
    sheets.on_test_end(Trainer(), Module())
    assert "1 boxes above 0.5 without a face; faces without a box above 0.3: 1 below" in caplog.text
    false, missed = (cv2.imread(str(tmp_path / f"{n}.png")) for n in ("false_positives", "missed"))
    assert min(false.shape[:2]) >= TILE
    assert missed.shape[0] >= 4 * TILE  # a row per size


def test_no_mistake_no_sheet(tmp_path):
    MistakeSheets(tmp_path, 4).on_test_end(Trainer(), Module())
    assert list(tmp_path.iterdir()) == []
