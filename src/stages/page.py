"""The page of a pipeline: what came out, how, and every command."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from src.report import page as html
from src.report.progress import duration
from src.report.tables import percent
from src.runs.files import replacing, write_json
from src.stages.plan import Stage

LEVELS = ("easy", "medium", "hard")

PICTURES = {
    "curves.png": "Loss on the labels and AP while the networks were trained",
    "sheet.png": "Faces that the last network finds",
    "widths.png": "Channels of each layer before and after pruning",
}
"""Files that commands leave in their folders -> what they show."""


def write_page(
    folder: Path, name: str, stages: Sequence[Stage], summary: Mapping[str, Any]
) -> None:
    """Write ``page.html`` into the folder of a pipeline, and what it tells as ``pipeline.json``.

    Args:
        folder: of the pipeline.
        name: of the pipeline.
        stages: all of them, run or not.
        summary: what ``src.pipeline`` returns.
    """
    write_json(folder / "pipeline.json", summary)
    title = f"Pipeline {name}"
    networks = _networks(stages)
    parts = [
        html.heading(title, level=1),
        *_verdict(summary, networks),
        *_table(networks),
        *_pictures(stages),
        *_searches(stages, folder),
        *_commands(summary),
    ]
    with replacing(folder / "page.html") as partial:
        partial.write_text(html.page(title, parts), encoding="utf-8")


def _networks(stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """Rows of the table that ``src.measure`` wrote; empty before."""
    for stage in stages:
        if stage.command == "measure" and stage.result.exists():
            rows: list[dict[str, Any]] = json.loads(stage.result.read_text())["networks"]
            return rows
    return []


def _verdict(summary: Mapping[str, Any], networks: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    if not networks:
        done = sum(stage["seconds"] is not None for stage in summary["stages"])
        yield html.paragraph(f"{done} of {len(summary['stages'])} stages are done.")
        return
    last = networks[-1]
    yield html.counts([
        ("parameters", f"{last['parameters']:,}"),
        ("multiply-adds", f"{last['multiply_adds'] / 1e6:,.0f} M"),
        ("AP, mean of the levels", _precision(last, "ap")),
        ("an image, one CPU thread", f"{1000 * last['median']:.1f} ms"),
    ])  # fmt: skip
    for goal in summary["goals"]:
        yield html.paragraph(goal["sentence"])


def _table(networks: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    if not networks:
        return
    yield html.heading("Networks")
    rows = [
        [
            row["name"], f"{row['parameters']:,}", f"{row['multiply_adds'] / 1e6:,.0f} M",
            *(_precision(row, f"ap_{level}") for level in LEVELS),
            f"{1000 * row['median']:.1f}",
        ]
        for row in networks
    ]  # fmt: skip
    head = [
        "network",
        "parameters",
        "multiply-adds",
        *(f"AP {level}" for level in LEVELS),
        "ms an image",
    ]
    yield html.table(head, rows, marks=[""] * (len(rows) - 1) + ["marked"])


def _precision(row: Mapping[str, Any], name: str) -> str:
    value = (row.get("metrics") or {}).get(name)
    return percent(math.nan if value is None else value)


def _pictures(stages: Sequence[Stage]) -> Iterator[Markup]:
    for file, about in PICTURES.items():
        for stage in stages:
            for path in sorted({*stage.folder.glob(file), *stage.folder.glob(f"pictures/{file}")}):
                yield html.heading(about)
                yield html.image(path.read_bytes(), f"{about}, stage {stage.name}", pixels=True)


def _searches(stages: Sequence[Stage], folder: Path) -> Iterator[Markup]:
    for stage in stages:
        report = stage.folder / "report.html"
        if report.exists():
            yield html.heading("Search")
            yield html.link("Trials, importances and the chosen plan",
                            report.relative_to(folder).as_posix())  # fmt: skip


def _commands(summary: Mapping[str, Any]) -> Iterator[Markup]:
    yield html.heading("Stages")
    rows = [
        [
            stage["name"],
            "" if stage["seconds"] is None else duration(stage["seconds"]),
            stage["revision"] or "",
            stage["command"] or "not run",
        ]
        for stage in summary["stages"]
    ]
    yield html.table(["stage", "time", "revision", "command"], rows, words=True)
