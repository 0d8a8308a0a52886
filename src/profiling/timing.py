"""Times of jobs that take turns: medians, ratios, a table and a picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from src.report.charts import COLORS, new_chart, plain, save_chart
from src.report.progress import tracked
from src.report.tables import text_table

Job = tuple[dict[str, Any], Callable[[], Any]]
"""What is timed, as columns of the table, and the function to time."""

_COLORS = {"eager": COLORS[0], "onnx": COLORS[5]}


def time_in_turn(jobs: Sequence[Job], rounds: int) -> list[dict[str, Any]]:
    """The rows of the jobs with their times, see :func:`compared`; a first round only warms up."""
    rows = [{**row, "seconds": []} for row, _ in jobs]
    for number in tracked(range(rounds + 1), "timing", rounds + 1, unit="round"):
        for row, (_, run) in zip(rows, jobs, strict=True):
            start = time.perf_counter()
            run()
            if number:
                row["seconds"].append(time.perf_counter() - start)
    return compared(rows)


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their medians, and compared with the first of the same ``kind`` and ``size``.

    ``ratio`` is the median over rounds of the quotient of their ``seconds`` and
    ``ratio_quartiles`` its quartiles, as ``quartiles`` are those of the ``seconds``. Where
    multiply-adds are known, ``multiply_adds_ratio`` is the quotient of theirs: what the ratio would
    be if only they counted.
    """
    bases: dict[Any, dict[str, Any]] = {}
    for row in rows:
        base = bases.setdefault((row["kind"], row.get("size")), row)
        ratios = [a / b for a, b in zip(row["seconds"], base["seconds"], strict=True)]
        row["median"], row["quartiles"] = median(row["seconds"]), _quartiles(row["seconds"])
        row["ratio"], row["ratio_quartiles"] = median(ratios), _quartiles(ratios)
        if "multiply_adds" in row:
            row["multiply_adds_ratio"] = row["multiply_adds"] / base["multiply_adds"]
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line per row; long paths keep their end."""
    return text_table(_HEADS, [_cells(row) for row in rows])


_HEADS = [
    "", "runtime", "size", "parameters", "file KB", "mult-adds", "ratio", "ms/image", "images/s",
    "ratio",
]  # fmt: skip
"""The first ratio is that of multiply-adds, the second that of times."""


def _cells(row: Mapping[str, Any]) -> list[str]:
    def shown(name: str, form: str, unit: float = 1) -> str:
        return format(row[name] / unit, form) if name in row else ""

    per_image = row["median"] / row["images"]
    adds = shown("multiply_adds", ".3f", 1e9)
    return [
        row["what"][-40:], row.get("runtime", ""), str(row.get("size", "")),
        shown("parameters", ",.0f"), shown("bytes", ",.0f", 1000), f"{adds} G" if adds else "",
        shown("multiply_adds_ratio", ".2f"), f"{1000 * per_image:.2f}", f"{1 / per_image:.1f}",
        f"{row['ratio']:.2f}",
    ]  # fmt: skip


def draw_times(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the median of each network and its quartiles, a panel per size.

    Args:
        rows: from :func:`time_in_turn`, of kind ``network``.
        path: the picture to write; its suffix decides the format.
    """
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    most = max(sum(row["size"] == size for row in rows) for size in sizes)
    figure = new_chart(9, 1 + len(sizes) * (0.9 + 0.45 * most))
    for axes, size in zip(figure.subplots(len(sizes), squeeze=False)[:, 0], sizes, strict=True):
        _draw_size(axes, [row for row in rows if row["size"] == size])
        axes.set(title=f"one image of {size} x {size} pixels, ms")
    used = [name for name in _COLORS if any(row["runtime"] == name for row in rows)]
    figure.legend(
        handles=[Patch(color=_COLORS[name], label=name) for name in used],
        loc="outside lower center", frameon=False, ncols=len(used), fontsize=9,
    )  # fmt: skip
    save_chart(figure, path)


def _draw_size(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for place, row in enumerate(rows):
        middle, (low, high) = 1000 * row["median"], 1000 * np.array(row["quartiles"])
        axes.barh(
            place, middle, height=0.6, color=_COLORS[row["runtime"]],
            xerr=[[middle - low], [high - middle]], capsize=3,
        )  # fmt: skip
        note = f"{middle:.1f}   time x {row['ratio']:.2f}, work x {row['multiply_adds_ratio']:.2f}"
        axes.annotate(note, (high, place), xytext=(6, -3), textcoords="offset points", fontsize=8)
    axes.set_yticks(range(len(rows)), [plain(row["what"][-40:]) for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.5)  # room for the notes
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _quartiles(values: Sequence[float]) -> list[float]:
    return np.quantile(values, (0.25, 0.75)).tolist()
