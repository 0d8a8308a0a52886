"""Distillation: a small detector learns from the outputs of a trained one."""

from src.distillation.balance import FixedWeights, LearnedWeights
from src.distillation.cells import CellDistillation
from src.distillation.detected import DetectedFaces
from src.distillation.features import FeatureTerm
from src.distillation.improvement import LabelImprovement
from src.distillation.objective import DistillationObjective
from src.distillation.teacher import Teacher
from src.distillation.yunet import YuNet

__all__ = [
    "CellDistillation",
    "DetectedFaces",
    "DistillationObjective",
    "FeatureTerm",
    "FixedWeights",
    "LabelImprovement",
    "LearnedWeights",
    "Teacher",
    "YuNet",
]
