"""Average precision as COCO defines it, computed by faster-coco-eval.

The mean over IoU thresholds from 0.50 to 0.95, of all faces and of three sizes; detections on a
face to ignore count neither way. Source: cocodataset.org, "Detection Evaluation".
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from src.evaluation.prediction_files import check_rows

log = logging.getLogger(__name__)

MAX_DETECTIONS = 100
"""Best detections of an image that count, as on COCO; photographs of crowds have more faces."""

_SIZES = ("all", "small", "medium", "large")
"""Bounded by areas of 32 x 32 and 96 x 96 pixels."""
_IOU_50, _IOU_75 = 0, 5
"""Places among the ten thresholds."""


class FacesToFind(NamedTuple):
    """Labelled faces of one image."""

    boxes_xywh: np.ndarray
    """[N, 4], pixels."""
    ignore: np.ndarray
    """[N] bool."""


def coco_ap(
    predictions: Mapping[str, np.ndarray],
    truth: Mapping[str, FacesToFind],
    *,
    max_detections: int = MAX_DETECTIONS,
) -> dict[str, float]:
    """Score detections on all images of ``truth``.

    Args:
        predictions: name -> [K, 5] (x, y, w, h, score), pixels. An image that is absent here counts
            as one without detections.
        truth: name -> labelled faces.
        max_detections: the best ones of each image that count.

    Returns:
        ``ap``, ``ap50``, ``ap75``, ``ap_small``, ``ap_medium`` and ``ap_large``, 0 to 1; NaN
        where no face counts.

    Raises:
        ValueError: detections are not [K, 5] and finite.
    """
    numbers = {name: number for number, name in enumerate(truth, start=1)}
    known = {name: rows for name, rows in predictions.items() if name in numbers}
    for name, rows in known.items():
        check_rows(name, rows)
    labels = COCO(_dataset(truth, numbers))
    ours = [_results(rows, numbers[name]) for name, rows in known.items()]
    found = labels.loadRes(np.concatenate([np.empty((0, 7)), *ours]))
    scorer = COCOeval_faster(labels, found, "bbox", print_function=log.debug)
    scorer.params.maxDets = [max_detections]
    scorer.evaluate()
    scorer.accumulate()
    precision = scorer.eval["precision"][:, :, 0, :, 0]  # [thresholds, recalls, sizes]
    whole, *sizes = (_mean(precision[..., size]) for size in range(len(_SIZES)))
    return {
        "ap": whole,
        "ap50": _mean(precision[_IOU_50, :, 0]),
        "ap75": _mean(precision[_IOU_75, :, 0]),
        **{f"ap_{name}": value for name, value in zip(_SIZES[1:], sizes, strict=True)},
    }


def _dataset(truth: Mapping[str, FacesToFind], numbers: Mapping[str, int]) -> dict[str, list]:
    annotations: list[dict] = []
    for name, faces in truth.items():
        for box, ignore in zip(faces.boxes_xywh.tolist(), faces.ignore.tolist(), strict=True):
            annotations.append({
                "id": len(annotations) + 1, "image_id": numbers[name], "category_id": 1,
                "bbox": box, "area": box[2] * box[3], "iscrowd": int(ignore),
            })  # fmt: skip
    images = [{"id": number, "file_name": name} for name, number in numbers.items()]
    categories = [{"id": 1, "name": "face"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def _results(rows: np.ndarray, number: int) -> np.ndarray:
    """[K, 7]: image, box, score, category."""
    return np.insert(np.insert(rows, 5, 1, axis=1), 0, number, axis=1)


def _mean(precision: np.ndarray) -> float:
    """Over thresholds and recalls; -1 stands where no face counts."""
    counted = precision[precision > -1]
    return float(counted.mean()) if counted.size else math.nan
