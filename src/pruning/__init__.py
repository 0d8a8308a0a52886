"""Pruning: which filters go, masked while they may come back, then removed for good."""

from src.pruning.cost import Cost
from src.pruning.importance import IMPORTANCES, importance
from src.pruning.masks import Masks
from src.pruning.one_shot import Pruned, prune_at_once
from src.pruning.plan import Plan, PruningSpec, keep, realised_rates, widths_table
from src.pruning.recalibration import recalibrate
from src.pruning.soft import SoftPruner, SoftPruningSpec
from src.pruning.surface import BudgetSurface
from src.pruning.surgery import remove

__all__ = [
    "IMPORTANCES",
    "BudgetSurface",
    "Cost",
    "Masks",
    "Plan",
    "Pruned",
    "PruningSpec",
    "SoftPruner",
    "SoftPruningSpec",
    "importance",
    "keep",
    "prune_at_once",
    "realised_rates",
    "recalibrate",
    "remove",
    "widths_table",
]
