"""Finished runs: reading their folders, statistics over seeds, tables, pictures.

Nothing here imports PyTorch: a report is made of files.
"""

from src.report.comparison import Comparison, Row, compare_settings
from src.report.grouping import Grouping, Setting, group_runs
from src.report.picture import draw_comparison
from src.report.runs import LeftOut, Run, read_runs
from src.report.table import main_table, markdown
from src.report.widths import draw_widths

__all__ = [
    "Comparison",
    "Grouping",
    "LeftOut",
    "Row",
    "Run",
    "Setting",
    "compare_settings",
    "draw_comparison",
    "draw_widths",
    "group_runs",
    "main_table",
    "markdown",
    "read_runs",
]
