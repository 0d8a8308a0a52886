"""The pictures in which detectors differ."""

from __future__ import annotations

import numpy as np

from src.evaluation import ImageTruth
from src.evaluation.differences import find_differences, judge_picture

FACES = np.array([[10, 10, 20, 20], [50, 10, 20, 20], [80, 80, 15, 15]], float)
COUNTS = np.array([True, True, False])
TRUTH = ImageTruth(FACES, COUNTS, COUNTS, COUNTS)
FIRST, SECOND, IGNORED, NOTHING = (
    [10, 10, 20, 20],
    [51, 10, 20, 20],
    [80, 80, 15, 15],
    [0, 50, 8, 8],
)


def rows(*boxes: list[float], score: float = 0.9) -> np.ndarray:
    return np.array([[*box, score] for box in boxes], float).reshape(-1, 5)


def test_boxes_on_ignored_faces_are_neither_right_nor_wrong():
    judged = judge_picture(rows(FIRST, FIRST, IGNORED, NOTHING), TRUTH, 0.5)
    assert judged.is_false.tolist() == [False, False, False, True]
    assert judged.is_found.tolist() == [True, False, False]


def test_weak_boxes_do_not_count():
    judged = judge_picture(rows(FIRST, score=0.4), TRUTH, 0.5)
    assert not len(judged.rows)
    assert not judged.is_found.any()


def test_the_largest_difference_comes_first():
    none = np.empty(0, bool)
    truth = {"a": TRUTH, "b": TRUTH, "empty": ImageTruth(np.empty((0, 4)), none, none, none)}
    one = {"a": rows(FIRST), "b": rows(FIRST), "empty": rows()}
    # As many faces in both pictures; in the second they are others.
    other = {"a": rows(FIRST), "b": rows(SECOND), "empty": rows(NOTHING)}
    found = find_differences([one, other], truth, 0.5)
    assert [(each.name, each.size) for each in found] == [("b", 2), ("empty", 1), ("a", 0)]
    assert found[0].found == [1, 1]
    assert found[0].disputed == 2
    assert found[1].false == [0, 1]
