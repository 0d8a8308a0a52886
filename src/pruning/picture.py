"""A picture of a pruned network: the width of every layer before and after, coloured by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.patches import Patch

from src.report.charts import COLORS, new_chart, save_chart


def draw_widths(widths: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw one bar per width: pale as it was, full as it is.

    Args:
        widths: ``name``, ``group``, ``before`` and ``after`` (channels) of each, in the order of
            the data flow.
        path: the picture to write; its suffix decides the format. Folders are created.
    """
    groups = list(dict.fromkeys(row["group"] for row in widths))
    colors = {group: COLORS[i] for i, group in enumerate(groups)}
    figure = new_chart(7.5, 1.2 + 0.2 * len(widths))
    axes = figure.subplots()
    for place, row in enumerate(widths):
        color = colors[row["group"]]
        axes.barh(place, row["before"], height=0.8, color=color, alpha=0.25)
        axes.barh(place, row["after"], height=0.8, color=color)
        axes.text(
            row["before"], place, f" {row['after']} of {row['before']}", va="center", fontsize=9
        )
    axes.set_yticks(range(len(widths)), [row["name"] for row in widths], fontsize=9)
    axes.set_ylim(len(widths) - 0.4, -0.6)
    axes.set_xlim(0, 1.2 * max(row["before"] for row in widths))
    axes.set_xlabel("channels; pale: before pruning")
    labels = []
    for group in groups:
        before, after = (
            sum(row[when] for row in widths if row["group"] == group)
            for when in ("before", "after")
        )
        labels.append(Patch(color=colors[group], label=f"{group}: {1 - after / before:.0%} gone"))
    axes.legend(handles=labels, fontsize=9, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    save_chart(figure, path)
