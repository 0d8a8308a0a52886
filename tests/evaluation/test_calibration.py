"""What scores are worth, and where a network is used."""

from __future__ import annotations

import numpy as np
import pytest

from src.evaluation.calibration import Judged, even_logit, judge, operate, raised
from src.evaluation.ground_truth import truth_from_boxes


def drawn(slope: float, offset: float, count: int = 20_000) -> Judged:
    """Boxes that are right as often as a logistic curve of their logits says."""
    rng = np.random.default_rng(5)
    logits = rng.normal(-1, 1.5, count)
    right = rng.random(count) < 1 / (1 + np.exp(-(slope * logits + offset)))
    return Judged(1 / (1 + np.exp(-logits)), right, int(right.sum()))


@pytest.mark.parametrize(("slope", "offset"), [(1, 0), (3, 1.5), (0.5, -1)])
def test_the_even_logit_is_where_the_curve_crosses_a_half(slope, offset):
    assert even_logit(drawn(slope, offset)) == pytest.approx(-offset / slope, abs=0.1)


def test_raised_scores_are_even_at_a_half_and_keep_their_order():
    before = drawn(3, 1.5)
    after = raised(before, -even_logit(before))
    assert even_logit(after) == pytest.approx(0, abs=1e-3)
    assert (np.argsort(after.scores) == np.argsort(before.scores)).all()
    assert operate(after, 0.5).recall > operate(before, 0.5).recall


def test_scores_of_nought_and_one_stay():
    sure = Judged(np.array([0.0, 0.5, 1.0]), np.array([False, True, True]), 2)
    assert raised(sure, 1.0).scores.tolist() == [0, pytest.approx(1 / (1 + np.exp(-1))), 1]


def test_judge_matches_as_ap_does():
    faces = np.array([[10, 10, 40, 40], [100, 100, 140, 140], [200, 10, 220, 30]], dtype=np.float32)
    truth = {"a.jpg": truth_from_boxes(faces, np.array([False, False, True]))}
    rows = np.array([
        [10, 10, 30, 30, 0.9],  # a face
        [11, 11, 30, 30, 0.8],  # the same face again
        [300, 300, 30, 30, 0.7],  # nothing
        [200, 10, 20, 20, 0.6],  # an ignored face: left out
    ])  # fmt: skip
    judged = judge({"a.jpg": rows}, truth)
    assert judged.scores.tolist() == [0.9, 0.8, 0.7]
    assert judged.right.tolist() == [True, False, False]
    assert judged.num_faces == 2
    assert operate(judged, 0.75) == (0.75, 0.5, 0.5, 1)
    nothing = operate(judged, 0.95)
    assert np.isnan(nothing.precision)
    assert nothing.recall == 0


def test_what_cannot_be_fit_is_refused():
    few = Judged(np.linspace(0.1, 0.9, 60), np.arange(60) < 49, 49)
    with pytest.raises(ValueError, match=r"at least 50 boxes on faces .* got 49 and 11"):
        even_logit(few)
    upside_down = drawn(-2, 0)
    with pytest.raises(ValueError, match="higher for boxes on faces"):
        even_logit(upside_down)
