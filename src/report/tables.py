"""Tables for a terminal and a log file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def results_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Average precisions in per cent, one line per name."""
    columns = ("ap_easy", "ap_medium", "ap_hard", "ap")
    width = max(map(len, rows), default=0)
    lines = [" " * width + "".join(f"{c.removeprefix('ap_'):>9}" for c in columns)]
    for name, metrics in rows.items():
        lines.append(f"{name:<{width}}" + "".join(f"{100 * metrics[c]:9.2f}" for c in columns))
    return "\n".join(lines)
