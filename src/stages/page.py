"""The page of a pipeline: what came out, how, and every command."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from src.comparison.curves import draw_losses, draw_metrics, draw_precisions, draw_sizes
from src.report import page as html
from src.report.charts import column_chart
from src.report.progress import duration
from src.report.tables import percent
from src.runs.files import replacing, write_json
from src.runs.read import metric_rows
from src.stages.plan import Stage
from src.tracking.panels import WORKSPACES

LEVELS = ("easy", "medium", "hard")

PICTURES = {
    "predict/sheet.png": "Faces that the last network finds",
    "evaluate/pictures/pr_curves.png": "Precision and recall of the last network",
    "finetune/pictures/pr_curves.png": "Precision and recall of the last network",
    "finetune/pictures/widths.png": "Channels of each layer before and after pruning",
    "prune/widths.png": "Channels of each layer before and after pruning",
}
"""Files that stages leave -> what they show."""

LEARNED = [
    panel
    for section in ("Learned weights", "Student and teacher", "Rates and widths")
    for panel in WORKSPACES["distillation"].sections[section]
    if panel.kind == "lines"
]
"""What is drawn of each training that logs it, as in Weights & Biases."""


def write_page(
    folder: Path,
    name: str,
    stages: Sequence[Stage],
    summary: Mapping[str, Any],
    judged: Mapping[str, str],
) -> None:
    """Write ``page.html`` into the folder of a pipeline, and what it tells as ``pipeline.json``.

    Args:
        folder: of the pipeline.
        name: of the pipeline.
        stages: those that are done, each with what is there of the others.
        summary: what ``src.pipeline`` returns.
        judged: names of the stages ``before`` and ``after`` pruning.
    """
    write_json(folder / "pipeline.json", summary)
    title = f"Pipeline {name}"
    networks = _networks(stages)
    parts = [
        html.heading(title, level=1),
        *_verdict(summary, networks),
        *_table(networks),
        *_charts(stages, networks),
        *_before_and_after(stages, judged),
        *_pictures(folder),
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


def _charts(stages: Sequence[Stage], networks: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    """How each phase went, and AP by face size."""
    runs = {stage.name: stage.folder for stage in stages
            if (stage.folder / "metrics.csv").exists()}  # fmt: skip
    drawings = []
    if runs:
        drawings += [
            (column_chart(draw_losses, runs), "Loss on the labels during the trainings"),
            (column_chart(draw_precisions, runs), "AP during the trainings"),
        ]
    for name, folder in runs.items():
        logged = {metric for _, row in metric_rows(folder / "metrics.csv") for metric in row}
        for panel in LEARNED:
            if logged.intersection(panel.metrics):
                draw = functools.partial(draw_metrics, metrics=panel.metrics, title=panel.title)
                drawings.append((column_chart(draw, folder), f"{panel.title}, {name}"))
    if networks and all(row.get("metrics") for row in networks):
        drawings.append((column_chart(draw_sizes, networks), "AP of each network by face size"))
    if drawings:
        yield html.heading("Trainings and face sizes")
        yield html.charts(drawings)


def _before_and_after(stages: Sequence[Stage], judged: Mapping[str, str]) -> Iterator[Markup]:
    """The same validation images with what was found before pruning and at the end."""
    folders = {stage.name: stage.folder for stage in stages}
    shown = [(name, folders[name] / "pictures" / "predictions.png")
             for name in (judged["before"], judged["after"]) if name in folders]  # fmt: skip
    shown = [(name, file) for name, file in shown if file.exists()]
    if shown:
        yield html.heading("Before and after pruning")
        yield html.paragraph("Labels are orange, faces found green.", note=True)
        for name, file in shown:
            yield html.paragraph(name)
            yield html.image(file.read_bytes(), f"Faces found by {name}", pixels=True)


def _pictures(folder: Path) -> Iterator[Markup]:
    told = set()
    for name, about in PICTURES.items():
        if (folder / name).exists() and about not in told:
            told.add(about)
            yield html.heading(about)
            wide = not name.endswith("sheet.png")  # charts with text
            yield html.image((folder / name).read_bytes(), about, pixels=True, wide=wide)


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
