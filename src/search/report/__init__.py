"""The report of a search: a page of HTML that needs nothing else."""

from src.search.report.writer import write_sweep_report

__all__ = ["write_sweep_report"]
