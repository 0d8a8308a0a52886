"""Scoring of detections: ground truth, prediction files, WIDER FACE average precision, curves."""

from src.evaluation.curves import draw_pr_curves
from src.evaluation.ground_truth import (
    ImageTruth,
    read_ground_truth,
    truth_from_boxes,
    write_ground_truth,
)
from src.evaluation.metric import WiderAP
from src.evaluation.prediction_files import (
    detection_rows,
    prediction_paths,
    read_predictions,
    write_predictions,
)
from src.evaluation.wider_ap import (
    SETTINGS,
    Curve,
    WiderResult,
    wider_ap,
)

__all__ = [
    "SETTINGS",
    "Curve",
    "ImageTruth",
    "WiderAP",
    "WiderResult",
    "detection_rows",
    "draw_pr_curves",
    "prediction_paths",
    "read_ground_truth",
    "read_predictions",
    "truth_from_boxes",
    "wider_ap",
    "write_ground_truth",
    "write_predictions",
]
