"""Tables of text: for a terminal and a log file, and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in columns of equal width, the first left-aligned, the others right-aligned."""
    return "\n".join("  ".join(line).rstrip() for line in _aligned([head, *rows], {0}))


def markdown_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,)
) -> str:
    """A table in Markdown whose columns are also aligned for a reader of the file.

    Args:
        head: of the columns.
        rows: as many cells each; a ``|`` in a cell is escaped by the caller.
        left: indices of the columns that are left-aligned; the others are right-aligned.
    """
    first, *rest = _aligned([head, *rows], left)
    rule = [
        "-" * len(cell) if place in left else "-" * (len(cell) - 1) + ":"
        for place, cell in enumerate(first)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [first, rule, *rest])


def results_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Average precisions in per cent, one line per name."""
    columns = ("ap_easy", "ap_medium", "ap_hard", "ap")
    cells = [
        [name, *(f"{100 * metrics[c]:.2f}" for c in columns)] for name, metrics in rows.items()
    ]
    return text_table(["", *(column.removeprefix("ap_") for column in columns)], cells)


def percent(value: float, *, sign: str = "") -> str:
    """A fraction of 1 in per cent, ``n/a`` where it is NaN; ``sign="+"`` shows that of a gain."""
    return "n/a" if math.isnan(value) else f"{100 * value:{sign}.2f}"


def _aligned(rows: Sequence[Sequence[str]], left: Collection[int]) -> list[list[str]]:
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    return [
        [
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
