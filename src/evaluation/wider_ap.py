"""Average precision of the WIDER FACE benchmark, as pure functions on arrays.

Gives what the Python evaluator most detectors report gives (github.com/wondervictor/
WiderFace-Evaluation, which RetinaFace ships too), for any prediction files. Its protocol:

1. Scores of all detections of all images are scaled together so that they span 0 to 1.
2. In each image every detection, in the order of the file, takes the labelled face it overlaps
   most. From an IoU of 0.5 on, with sides counted one pixel longer: if the setting does not count
   that face, the detection is left out; otherwise the first one on a face has found it.
   Every detection not left out is a proposal, so a second one on a face lowers the precision.
3. At each of 1000 thresholds an image contributes all detections up to the *last* one in its file
   whose score reaches the threshold. Files are usually sorted, and then these are simply the
   detections that reach it.
4. Precision is found faces per proposal, recall found faces per counted face, both over all
   images; AP is the area under the precision envelope (VOC, all points).

An image without labelled faces, or without detections, contributes no proposal; its detections
still take part in step 1 and its counted faces in the recall.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from src.evaluation.ground_truth import LEVELS, ImageTruth
from src.evaluation.prediction_files import check_rows

MIN_IOU = 0.5
NUM_THRESHOLDS = 1000

SIZE_BOUNDS = (16, 32, 96)
"""Pixels of sqrt(width * height); a face on a bound belongs to the larger bucket."""

SIZES = ("size_0_16", "size_16_32", "size_32_96", "size_96_inf")
SETTINGS = (*LEVELS, *SIZES)
"""Setting number s is bit s of a flag byte; the top bit is ``FIRST_HIT``."""

FIRST_HIT = np.uint8(1 << len(SETTINGS))
"""Flag of the first detection on a labelled face, whether or not a setting counts that face."""

_LEVEL_BITS = np.uint8((1 << len(LEVELS)) - 1)
_SIZE_BITS = np.uint8(1) << np.arange(len(LEVELS), len(SETTINGS), dtype=np.uint8)

# The Python expression of the published evaluator, so that comparisons agree to the last bit.
_THRESHOLDS = np.array([1 - (t + 1) / NUM_THRESHOLDS for t in range(NUM_THRESHOLDS)])

# [256, S]: how a detection with a given flag byte counts in each setting.
_IS_PROPOSAL = (np.arange(256)[:, None] >> np.arange(len(SETTINGS))) & 1
_IS_FIND = _IS_PROPOSAL * (np.arange(256)[:, None] >= FIRST_HIT)

# Detection-face pairs compared at once; 0.5 MB per array stays in the cache and bounds the memory
# of an image with 1,900 faces and 5,000 detections.
_PAIRS_AT_ONCE = 1 << 16


class Curve(NamedTuple):
    """Precision and recall at the 1000 thresholds, from the highest to the lowest."""

    precision: np.ndarray
    """[1000] float64; 0 where there is no proposal yet (the published code has NaN there, which
    its AP never touches, because the recall does not move)."""
    recall: np.ndarray
    """[1000] float64, ascending; NaN if the setting counts no face."""


class WiderResult(NamedTuple):
    """Scores of one evaluation."""

    metrics: dict[str, float]
    """``ap_easy``, ``ap_medium``, ``ap_hard``, ``ap`` (their mean) and ``ap_size_*``, 0 to 1;
    NaN where no face counts."""
    curves: dict[str, Curve]
    """One per setting (``SETTINGS``)."""
    num_images: int
    num_faces: dict[str, int]
    """Faces that each setting counts."""


class ImageMatches(NamedTuple):
    """What the detections of one image amount to before scores are compared across images."""

    scores: np.ndarray
    """[K] float64, as predicted, in the order of the file."""
    flags: np.ndarray
    """[K] uint8: bit s is set if the detection is a proposal in setting s; ``FIRST_HIT``."""


# Put first where arrays of all images are joined, for numpy cannot join none.
_NO_FACES = ImageTruth(np.empty((0, 4)), *[np.empty(0, dtype=bool)] * 3)
_NO_MATCHES = ImageMatches(np.empty(0), np.empty(0, dtype=np.uint8))


def wider_ap(predictions: Mapping[str, np.ndarray], truth: Mapping[str, ImageTruth]) -> WiderResult:
    """Score detections on all images of ``truth``.

    Args:
        predictions: name -> [K, 5] (x, y, w, h, score), pixels, in the order of the file. An
            image of ``truth`` that is absent here counts as an image without detections.
        truth: name -> labelled faces.

    Returns:
        AP of the official settings and by face size. A size bucket counts the hard faces with
        sqrt(w * h) in it; a detection that lies on no face (IoU under 0.5) and whose own size is
        in another bucket is left out, as COCO does for areas, or every bucket would pay for the
        false positives of all others.

    Raises:
        ValueError: if an image is not in ``truth``, or its detections are not [K, 5] and finite.
    """
    unknown = sorted(predictions.keys() - truth.keys())
    if unknown:
        raise ValueError(
            f"expected predictions for images of the ground truth only, got {len(unknown)} "
            f"others ({', '.join(unknown[:3])}); remove them or pass their ground truth"
        )
    for name, rows in predictions.items():
        check_rows(name, rows)
    matches = [match_image(rows, truth[name]) for name, rows in predictions.items()]
    return average_precisions(matches, truth.values())


def match_image(predictions: np.ndarray, truth: ImageTruth) -> ImageMatches:
    """Match the detections of one image to its faces, for all settings at once.

    Args:
        predictions: [K, 5] (x, y, w, h, score), pixels, in the order of the file.
        truth: labelled faces, [N].

    Returns:
        Nine bytes per detection, all that scoring needs.
    """
    rows = np.asarray(predictions, dtype=np.float64)
    if not len(rows) or not len(truth.boxes_xywh):
        return ImageMatches(rows[:, 4], np.zeros(len(rows), dtype=np.uint8))
    face, iou = best_faces(rows, truth.boxes_xywh)
    matched = iou >= MIN_IOU
    flags = np.where(matched, _face_flags(truth)[face], _LEVEL_BITS | _size_bits(rows))
    hits = np.flatnonzero(matched)
    first = np.unique(face[hits], return_index=True)[1]
    flags[hits[first]] |= FIRST_HIT
    return ImageMatches(rows[:, 4], flags)


def average_precisions(
    matches: Sequence[ImageMatches], truths: Collection[ImageTruth]
) -> WiderResult:
    """Score matched detections; the order of the images does not matter.

    Args:
        matches: one per image that has detections (others may be left out).
        truths: one per evaluated image; only their counted faces are used.
    """
    flags = np.concatenate([m.flags for m in (_NO_MATCHES, *matches)])
    histogram = np.bincount(
        _threshold_bins(matches) * 256 + flags, minlength=NUM_THRESHOLDS * 256
    ).reshape(NUM_THRESHOLDS, 256)
    num_proposals = (histogram @ _IS_PROPOSAL).cumsum(axis=0)
    num_found = (histogram @ _IS_FIND).cumsum(axis=0)
    joined = ImageTruth(*map(np.concatenate, zip(_NO_FACES, *truths, strict=True)))
    num_faces = np.bincount(_face_flags(joined), minlength=256) @ _IS_PROPOSAL

    curves = {
        name: _curve(num_found[:, s], num_proposals[:, s], int(num_faces[s]))
        for s, name in enumerate(SETTINGS)
    }
    metrics = {f"ap_{name}": _area_under_envelope(curve) for name, curve in curves.items()}
    metrics["ap"] = sum(metrics[f"ap_{level}"] for level in LEVELS) / len(LEVELS)
    return WiderResult(
        metrics, curves, len(truths), dict(zip(SETTINGS, num_faces.tolist(), strict=True))
    )


def best_faces(rows: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index and IoU of the face that each box overlaps most, the first one on ties.

    Args:
        rows: [K, 4 or more] (x, y, w, h, ...), pixels.
        faces: [N, 4] (x, y, w, h), at least one.

    Returns:
        [K] int, [K] float64; sides are counted one pixel longer.
    """
    x1, y1, x2, y2, area = _corners_and_area(rows)[:, :, None]
    face_x1, face_y1, face_x2, face_y2, face_area = _corners_and_area(faces)
    best = np.empty(len(rows), dtype=np.intp)
    best_iou = np.empty(len(rows))
    step = max(1, _PAIRS_AT_ONCE // len(faces))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        width = np.minimum(x2[part], face_x2) - np.maximum(x1[part], face_x1)
        height = np.minimum(y2[part], face_y2) - np.maximum(y1[part], face_y1)
        width += 1
        height += 1
        shared = np.maximum(width, 0, out=width)
        shared *= np.maximum(height, 0, out=height)
        union = area[part] + face_area
        union -= shared
        # Boxes with a negative side can have a union of 0, but then they share nothing.
        shared /= np.maximum(union, np.finfo(np.float64).tiny, out=union)
        best[part] = shared.argmax(axis=1)
        best_iou[part] = np.take_along_axis(shared, best[part, None], axis=1)[:, 0]
    return best, best_iou


def _corners_and_area(boxes_xywh: np.ndarray) -> np.ndarray:
    """[5, N]: x1, y1, x2, y2 and the area with sides counted one pixel longer.

    The sides are taken from the rounded corners, as the published evaluator does.
    """
    x1, y1, width, height = boxes_xywh[:, :4].T
    x2, y2 = x1 + width, y1 + height
    return np.stack([x1, y1, x2, y2, (x2 - x1 + 1) * (y2 - y1 + 1)])


def _size_bits(boxes_xywh: np.ndarray) -> np.ndarray:
    """[N] uint8 with the bit of each box's size bucket."""
    # Areas against squared bounds: exact for whole pixels, where a square root may not be.
    area = np.maximum(boxes_xywh[:, 2], 0) * np.maximum(boxes_xywh[:, 3], 0)
    return _SIZE_BITS[np.searchsorted(np.square(SIZE_BOUNDS), area, side="right")]


def _face_flags(truth: ImageTruth) -> np.ndarray:
    """[N] uint8: bit s is set if setting s counts the face."""
    flags = np.where(truth.hard, _size_bits(truth.boxes_xywh), np.uint8(0))
    for s, level in enumerate(LEVELS):
        flags |= getattr(truth, level).astype(np.uint8) << np.uint8(s)
    return flags


def _threshold_bins(matches: Sequence[ImageMatches]) -> np.ndarray:
    """Number of the first threshold at which each detection of each image takes part."""
    scores = np.concatenate([m.scores for m in (_NO_MATCHES, *matches)])
    if not len(scores):
        return np.empty(0, dtype=np.intp)
    # Like the published code, never shrink the span below the end of [0, 1] that scores are in.
    low, high = min(1.0, scores.min()), max(0.0, scores.max())
    # "Up to the last detection that reaches the threshold" takes in every detection that reaches
    # it or has one that does behind it: the largest score from here to the end of the file.
    reach = np.concatenate([np.maximum.accumulate(m.scores[::-1])[::-1] for m in matches])
    # Equal scores cannot be scaled (the published code divides by zero); all are the best then.
    scaled = (reach - low) / (high - low) if high > low else np.ones_like(reach)
    return NUM_THRESHOLDS - np.searchsorted(_THRESHOLDS[::-1], scaled, side="right")


def _curve(num_found: np.ndarray, num_proposals: np.ndarray, num_faces: int) -> Curve:
    if not num_faces:
        return Curve(np.zeros(NUM_THRESHOLDS), np.full(NUM_THRESHOLDS, np.nan))
    precision = np.zeros(NUM_THRESHOLDS)
    np.divide(num_found, num_proposals, out=precision, where=num_proposals > 0)
    return Curve(precision, num_found / num_faces)


def _area_under_envelope(curve: Curve) -> float:
    recall = np.concatenate([[0.0], curve.recall, [1.0]])
    precision = np.concatenate([curve.precision, [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope))
