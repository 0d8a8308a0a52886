from __future__ import annotations

import math

import numpy as np
import pytest

from src.evaluation import SETTINGS, ImageTruth, wider_ap
from src.evaluation.wider_ap import FIRST_HIT, average_precisions, match_image

KINDS = ["continuous", "sorted", "thousandths", "ties", "equal", "logits"]


def truth_of(boxes: list[list[float]], counted: list[bool] | None = None) -> ImageTruth:
    """Faces that all three settings count, or only those flagged."""
    flags = np.array(counted if counted is not None else [True] * len(boxes), dtype=bool)
    return ImageTruth(np.array(boxes, dtype=float).reshape(-1, 4), flags, flags, flags)


def rows_of(*rows: tuple[float, float, float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=float).reshape(-1, 5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_equals_slow_reference(slow_wider_ap, random_case, kind, seed):
    predictions, truth = random_case(seed, scores=kind)
    expected = slow_wider_ap(predictions, truth)
    actual = wider_ap(predictions, truth).metrics
    assert actual == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", range(3))
def test_worst_first_equals_slow_reference(slow_wider_ap, random_case, seed):
    predictions, truth = random_case(seed)
    turned = {name: rows[np.argsort(rows[:, 4])] for name, rows in predictions.items()}
    expected = slow_wider_ap(turned, truth)
    assert wider_ap(turned, truth).metrics == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_three_images_by_hand():
    face, other = [0, 0, 40, 40], [100, 0, 40, 40]
    truth = {
        "e/a.jpg": truth_of([face, other]),  # two counted faces
        "e/b.jpg": truth_of([face, other], [True, False]),  # one counted, one ignored
        "e/c.jpg": truth_of([face]),  # one counted face, no detection
    }
    predictions = {
        "e/a.jpg": rows_of(
            (*face, 1.0),  # found
            (*face, 0.8),  # second on the same face: false positive
            (*other, 0.6),  # found
        ),
        "e/b.jpg": rows_of(
            (*other, 0.9),  # on an ignored face: no proposal
            (300, 0, 40, 40, 0.7),  # on nothing: false positive
            (*face, 0.0),  # found
        ),
    }
    # 4 counted faces. Lowest score 0, highest 1, so scaling changes nothing. From the top:
    #   score 1.0: proposals 1, found 1 -> precision 1,   recall 1/4
    #   score 0.8: proposals 2, found 1 -> precision 1/2, recall 1/4
    #   score 0.7: proposals 3, found 1 -> precision 1/3, recall 1/4
    #   score 0.6: proposals 4, found 2 -> precision 1/2, recall 2/4
    #   score 0.0: proposals 5, found 3 -> precision 3/5, recall 3/4
    # The envelope is 1 up to recall 1/4 and 3/5 up to 3/4; nothing reaches 1.
    result = wider_ap(predictions, truth)
    by_hand = 1 / 4 * 1 + 2 / 4 * 3 / 5
    for name in ("ap_easy", "ap_medium", "ap_hard", "ap", "ap_size_32_96"):
        assert result.metrics[name] == pytest.approx(by_hand, abs=1e-15)
    assert result.num_images == 3
    assert result.num_faces == dict.fromkeys(SETTINGS, 0) | dict.fromkeys(
        ["easy", "medium", "hard", "size_32_96"], 4
    )
    curve = result.curves["hard"]
    assert curve.precision.shape == curve.recall.shape == (1000,)
    assert curve.recall[-1] == 3 / 4
    assert curve.precision[-1] == 3 / 5
    # Threshold number 199 is 1 - 200/1000, the first that the score 0.8 reaches.
    assert curve.precision[198] == 1
    assert curve.precision[199] == 1 / 2


def test_unsorted_file_counts_up_to_the_last_that_reaches_the_threshold():
    face = [0, 0, 40, 40]
    # At threshold 0.999 the last row that reaches it is the second: both are proposals at once.
    predictions = {"e/a.jpg": rows_of((300, 0, 40, 40, 0.0), (*face, 1.0))}
    curve = wider_ap(predictions, {"e/a.jpg": truth_of([face])}).curves["hard"]
    assert (curve.precision == 1 / 2).all()
    assert (curve.recall == 1).all()


def test_truth_as_predictions_is_perfect(random_case):
    _, truth = random_case(0, num_images=12)
    predictions = {
        name: np.concatenate([image.boxes_xywh, np.ones((len(image.hard), 1))], axis=1)
        for name, image in truth.items()
    }
    metrics = wider_ap(predictions, truth).metrics
    assert metrics == pytest.approx(dict.fromkeys(metrics, 1.0))


@pytest.mark.parametrize("seed", range(5))
def test_true_positive_never_lowers_ap(random_case, seed):
    predictions, truth = random_case(seed)
    # An image without faces pins the scaling: its scores are the lowest and the highest.
    truth |= {"e/pin.jpg": truth_of([]), "e/new.jpg": truth_of([[0, 0, 40, 40]])}
    predictions |= {"e/pin.jpg": rows_of((0, 0, 9, 9, 0.0), (0, 0, 9, 9, 1.0))}
    before = wider_ap(predictions, truth).metrics
    for score in (0.0, 0.3, 0.9, 1.0):
        found = {"e/new.jpg": rows_of((0, 0, 40, 40, score))}
        after = wider_ap(predictions | found, truth).metrics
        assert all(after[name] >= before[name] for name in ("ap_easy", "ap_medium", "ap_hard"))


@pytest.mark.parametrize(
    ("side", "bucket"),
    [
        (15, "size_0_16"),
        (16, "size_16_32"),  # a bound belongs to the larger bucket
        (31, "size_16_32"),
        (32, "size_32_96"),
        (95, "size_32_96"),
        (96, "size_96_inf"),
    ],
)
def test_face_falls_into_one_size_bucket(side, bucket):
    face = [0, 0, side, side]
    result = wider_ap({"e/a.jpg": rows_of((*face, 1.0))}, {"e/a.jpg": truth_of([face])})
    for setting in SETTINGS[3:]:
        score = result.metrics[f"ap_{setting}"]
        assert score == 1 if setting == bucket else math.isnan(score)


def test_size_buckets_leave_out_misses_of_another_size():
    small, large = [0, 0, 20, 20], [100, 0, 200, 200]
    truth = {"e/a.jpg": truth_of([small, large])}
    predictions = {
        "e/a.jpg": rows_of((500, 0, 20, 20, 1.0), (*small, 0.8), (*large, 0.6))
    }  # the miss has the size of the small face
    metrics = wider_ap(predictions, truth).metrics
    assert metrics["ap_size_16_32"] == pytest.approx(1 / 2)
    assert metrics["ap_size_96_inf"] == pytest.approx(1)
    assert metrics["ap_hard"] == pytest.approx(2 / 3)


def test_nothing_found_is_zero_and_nothing_counted_is_nan():
    truth = {"e/a.jpg": truth_of([[0, 0, 40, 40]])}
    assert wider_ap({}, truth).metrics["ap"] == 0
    assert wider_ap({"e/a.jpg": np.empty((0, 5))}, truth).metrics["ap"] == 0
    nothing = {"e/a.jpg": truth_of([[0, 0, 40, 40]], [False])}
    assert math.isnan(wider_ap({}, nothing).metrics["ap"])
    assert wider_ap({}, {}).num_images == 0


def test_detections_of_an_image_without_faces_take_part_in_the_scaling_only(slow_wider_ap):
    face = [0, 0, 40, 40]
    truth = {"e/a.jpg": truth_of([face]), "e/b.jpg": truth_of([])}
    rows = rows_of((*face, 0.5), (300, 0, 9, 9, 0.4))
    predictions = {"e/a.jpg": rows, "e/b.jpg": rows_of((0, 0, 9, 9, 1.0), (0, 0, 9, 9, 0.0))}
    result = wider_ap(predictions, truth)
    assert result.metrics == pytest.approx(slow_wider_ap(predictions, truth), nan_ok=True)
    assert result.curves["hard"].recall[498] == 0  # 0.501: without image b 0.5 would scale to 1
    assert result.curves["hard"].recall[499] == 1


def test_crowded_image_is_compared_in_pieces(slow_wider_ap, monkeypatch, random_case):
    # The package attribute of this name is the function, so the module is found by its functions.
    monkeypatch.setitem(match_image.__globals__, "_PAIRS_AT_ONCE", 7)
    predictions, truth = random_case(11)
    expected = slow_wider_ap(predictions, truth)
    assert wider_ap(predictions, truth).metrics == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_an_overlap_of_a_half_is_enough():
    face = [0, 0, 9, 9]  # 10 x 10 pixels, both ends counted
    for height, found in ((4, True), (3, False)):
        matches = match_image(rows_of((0, 0, 9, height, 1.0)), truth_of([face]))
        assert bool(matches.flags[0] >= FIRST_HIT) == found


def test_boxes_without_area_and_with_negative_sides(slow_wider_ap):
    # The official boxes hold both: widths of 0 and one of -2.
    truth = {"e/a.jpg": truth_of([[10, 10, 0, 0], [20, 20, -2, 5], [30, 30, -1, -1]])}
    predictions = {
        "e/a.jpg": rows_of(
            (10, 10, 0, 0, 0.9), (20, 20, -2, 5, 0.8), (30, 30, -1, -1, 0.7), (0, 0, -3, -3, 0.1)
        )
    }
    expected = slow_wider_ap(predictions, truth)
    assert wider_ap(predictions, truth).metrics == pytest.approx(expected, nan_ok=True)


def test_matches_are_one_flag_byte_and_the_score():
    face = [0, 0, 40, 40]
    matches = match_image(rows_of((*face, 0.5), (*face, 0.4)), truth_of([face]))
    assert matches.flags.dtype == np.uint8
    assert matches.flags.tolist() == [0b1010_0111, 0b0010_0111]  # first hit; size_32_96; levels
    assert matches.scores.tolist() == [0.5, 0.4]
    # Order of images is free.
    again = average_precisions([matches, matches], [truth_of([face])] * 2)
    assert again.metrics["ap_hard"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({"e/x.jpg": np.empty((0, 5))}, r"images of the ground truth only, got 1 others \(e/x"),
        ({"e/a.jpg": np.empty((2, 4))}, r"detections \[K, 5\] .* for e/a.jpg, got \(2, 4\)"),
        ({"e/a.jpg": np.full((1, 5), np.nan)}, "finite boxes and scores for e/a.jpg"),
    ],
)
def test_errors(predictions, message):
    with pytest.raises(ValueError, match=message):
        wider_ap(predictions, {"e/a.jpg": truth_of([])})
