"""Lightning modules and callbacks: what lives during a run, and for how long."""

from src.training.detector import DetectorModule, LearningRateScaling
from src.training.evaluator import EvaluatorModule

__all__ = ["DetectorModule", "EvaluatorModule", "LearningRateScaling"]
