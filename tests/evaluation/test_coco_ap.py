"""COCO's AP: by hand, and what the files of a data set give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from src.evaluation.coco_ap import FacesToFind, coco_ap

BOX = [10.0, 10.0, 20.0, 20.0]


def truth(*boxes, ignore=()):
    flags = np.array([index in ignore for index in range(len(boxes))], dtype=bool)
    return FacesToFind(np.array(boxes, dtype=np.float64).reshape(-1, 4), flags)


def rows(*boxes_and_scores):
    return np.array(boxes_and_scores, dtype=np.float64).reshape(-1, 5)


def test_what_is_found_exactly_is_all():
    found = coco_ap({"a": rows([*BOX, 0.9])}, {"a": truth(BOX)})
    assert found == pytest.approx(
        {"ap": 1, "ap50": 1, "ap75": 1, "ap_small": 1, "ap_medium": math.nan,
         "ap_large": math.nan}, nan_ok=True,
    )  # fmt: skip


def test_a_box_too_narrow_counts_up_to_its_iou():
    # 16 of 20 pixels: IoU 0.8, so seven of the ten thresholds, 0.50 to 0.80.
    found = coco_ap({"a": rows([10, 10, 16, 20, 0.9])}, {"a": truth(BOX)})
    assert found["ap50"] == found["ap75"] == 1
    assert found["ap"] == pytest.approx(0.7)


def test_a_better_false_positive_halves_the_precision():
    found = coco_ap({"a": rows([100, 100, 20, 20, 0.95], [*BOX, 0.9])}, {"a": truth(BOX)})
    assert found["ap"] == pytest.approx(0.5)


def test_detections_on_ignored_faces_count_neither_way():
    faces = {"a": truth(BOX, [100, 100, 50, 50], ignore=[1])}
    assert coco_ap({"a": rows([105, 105, 9, 9, 0.95], [*BOX, 0.9])}, faces)["ap"] == 1


def test_images_without_faces_or_detections():
    nothing = rows()
    assert math.isnan(coco_ap({"a": nothing}, {"a": truth()})["ap"])
    assert coco_ap({}, {"a": truth(BOX)})["ap"] == 0
    both = {"a": truth(BOX), "b": truth()}
    assert coco_ap({"a": rows([*BOX, 0.9]), "b": rows([*BOX, 0.95])}, both)["ap"] == 0.5
    assert coco_ap({"a": rows([*BOX, 0.9]), "other": nothing}, both)["ap"] == 1


def test_sizes_go_by_area():
    faces = truth([0, 0, 31, 31], [100, 0, 33, 33], [200, 0, 97, 97])
    found = coco_ap({"a": rows([0, 0, 31, 31, 0.9], [200, 0, 97, 97, 0.8])}, {"a": faces})
    assert (found["ap_small"], found["ap_medium"], found["ap_large"]) == (1, 0, 1)


def test_only_the_best_of_an_image_count():
    boxes = [[30.0 * n, 0, 20, 20] for n in range(120)]
    found = {"a": rows(*([*box, 0.9 - n / 1000] for n, box in enumerate(boxes)))}
    faces = {"a": truth(*boxes)}
    # Recalls from 0 to 100/120 in 101 steps.
    assert coco_ap(found, faces)["ap"] == pytest.approx(84 / 101)
    assert coco_ap(found, faces, max_detections=200)["ap"] == 1


def test_detections_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="expected finite boxes and scores for a"):
        coco_ap({"a": rows([1, 2, 3, 4, math.nan])}, {"a": truth(BOX)})
