"""Finished runs: reading their folders, statistics over seeds, tables, pictures.

Nothing here imports PyTorch: a report is made of files.
"""

from src.comparison.compare import Comparison, compare_settings
from src.comparison.curves import draw_training
from src.comparison.grouping import Grouping, group_runs
from src.comparison.picture import draw_comparison
from src.comparison.table import main_table, markdown
from src.runs.read import read_runs

__all__ = [
    "Comparison",
    "Grouping",
    "compare_settings",
    "draw_comparison",
    "draw_training",
    "group_runs",
    "main_table",
    "markdown",
    "read_runs",
]
