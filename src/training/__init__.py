"""Lightning modules and callbacks: what lives during a run, and for how long."""

from src.training.detector import DetectorModule, LearningRateScaling
from src.training.evaluator import EvaluatorModule
from src.training.plugins import CheckpointFiles, SyncBatchNorm

__all__ = [
    "CheckpointFiles",
    "DetectorModule",
    "EvaluatorModule",
    "LearningRateScaling",
    "SyncBatchNorm",
]
