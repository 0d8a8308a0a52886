"""Lightning modules and callbacks: what lives during a run, and for how long."""

from src.training.detector import DetectorModule, LearningRateScaling
from src.training.distillation import DistillationModule
from src.training.evaluator import EvaluatorModule
from src.training.labels import TeacherLabels
from src.training.plugins import CheckpointFiles, SyncBatchNorm
from src.training.pruning import PruningModule
from src.training.teachers import cell_distillation, distillation_objective

__all__ = [
    "CheckpointFiles",
    "DetectorModule",
    "DistillationModule",
    "EvaluatorModule",
    "LearningRateScaling",
    "PruningModule",
    "SyncBatchNorm",
    "TeacherLabels",
    "cell_distillation",
    "distillation_objective",
]
