"""Workspaces of W&B, built from :mod:`src.tracking.panels`, as JSON and in an account.

Imports ``wandb_workspaces``, which takes a second: only the command for it imports this.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import wandb_workspaces.expr as expr
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from src.tracking.panels import Kind, Panel, Workspace

COLUMNS, ROWS = 2, 3
"""Panels of a section that are seen without turning a page."""


def build(workspace: Workspace, *, entity: str, project: str) -> ws.Workspace:
    """The workspace as the library knows it; nothing is sent.

    Args:
        workspace: what it shows.
        entity: user or team that it is for; empty in a file to look at.
        project: of that user or team.
    """
    layout = ws.SectionLayoutSettings(columns=COLUMNS, rows=ROWS)
    sections = [
        ws.Section(
            name=name,
            panels=[_BUILDERS[panel.kind](panel) for panel in panels],
            is_open=True,
            layout_settings=layout,
        )
        for name, panels in workspace.sections.items()
    ]
    jobs = [expr.Metric("JobType").isin(list(workspace.jobs))] if workspace.jobs else []
    runs = ws.RunsetSettings(
        groupby=[expr.Metric(name) for name in workspace.group_by], filters=jobs
    )
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"FeatherFace: {workspace.title}",
        sections=sections,
        runset_settings=runs,
    )


def as_json(built: ws.Workspace) -> dict[str, Any]:
    """What would be sent: name, entity, project and specification, as plain values."""
    view = built._to_model()
    spec = json.loads(view.spec.model_dump_json(by_alias=True, exclude_none=True))
    return {"name": view.display_name, "entity": view.entity, "project": view.project, "spec": spec}


def push(built: Iterable[ws.Workspace]) -> list[str]:
    """Send workspaces to the account that there is a key for; each becomes a new view.

    Returns:
        Their addresses.
    """
    return [workspace.save().url for workspace in built]


def _lines(panel: Panel) -> wr.LinePlot:
    return wr.LinePlot(
        title=panel.title, x=panel.x, y=list(panel.metrics), metric_regex=panel.pattern
    )


def _bars(panel: Panel) -> wr.BarPlot:
    return wr.BarPlot(title=panel.title, metrics=list(panel.metrics))


def _points(panel: Panel) -> wr.ScatterPlot:
    (metric,) = panel.metrics
    x, y = wr.SummaryMetric(panel.x), wr.SummaryMetric(metric)
    return wr.ScatterPlot(title=panel.title, x=x, y=y)


def _rates(panel: Panel) -> wr.ParallelCoordinatesPlot:
    columns = [
        wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(metric)) for metric in panel.metrics
    ]
    return wr.ParallelCoordinatesPlot(title=panel.title, columns=columns)


def _importance(panel: Panel) -> wr.ParameterImportancePlot:
    (metric,) = panel.metrics
    return wr.ParameterImportancePlot(with_respect_to=metric)


def _pictures(panel: Panel) -> wr.MediaBrowser:
    return wr.MediaBrowser(title=panel.title, media_keys=list(panel.metrics), num_columns=1)


_BUILDERS: Mapping[Kind, Callable[[Panel], Any]] = {
    "lines": _lines,
    "bars": _bars,
    "points": _points,
    "rates": _rates,
    "importance": _importance,
    "pictures": _pictures,
}
