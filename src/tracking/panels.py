"""What the workspaces show: sections of panels, each naming metrics that some command logs.

Data alone. ``tests/tracking/test_panels.py`` fails where a metric is named that nothing logs.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

STEP = "trainer/global_step"
"""Optimizer steps done, as Lightning tells W&B."""

LEVELS = ("ap_easy", "ap_medium", "ap_hard", "ap")
SIZES = ("ap_size_0_16", "ap_size_16_32", "ap_size_32_96", "ap_size_96_inf")
GROUPS = ("backbone_early", "backbone_late", "cbam", "bifpn", "ssh", "heads")
"""Groups of layers that have a pruning rate each; see ``conf/pruning/``."""
TERMS = ("class", "box", "landmark")

Kind = Literal["lines", "bars", "points", "rates", "importance", "pictures"]


class Panel(NamedTuple):
    """One picture of a workspace.

    ``lines`` are metrics over ``x``; ``bars`` the last value of each run; ``points`` one metric
    over ``x``, a point a run; ``rates`` parallel coordinates, the last one being the result;
    ``importance`` of the settings for one metric; ``pictures`` images.
    """

    title: str
    metrics: tuple[str, ...]
    kind: Kind = "lines"
    x: str = STEP
    pattern: str | None = None
    """Of metrics whose names follow settings, instead of ``metrics``."""


class Workspace(NamedTuple):
    """One view of a W&B project."""

    title: str
    sections: Mapping[str, tuple[Panel, ...]]
    group_by: tuple[str, ...] = ()
    """Attributes of runs, outermost first."""
    jobs: tuple[str, ...] = ()
    """Job types that it shows; none: all."""


def _named(prefix: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{prefix}{name}" for name in names)


_PRECISIONS = (
    Panel("AP by level, validation", _named("val/", LEVELS)),
    Panel("AP by face size, validation", _named("val/", SIZES)),
    Panel("Final AP by level", _named("final/", LEVELS), "bars"),
    Panel("Final AP by face size", _named("final/", SIZES), "bars"),
)

_STEPS = (
    Panel("Learning rates", (), pattern=r"^lr-"),
    Panel("Norm of the gradient", ("train/gradient_norm",)),
)

_PICTURES = (
    Panel("Faces found", ("pictures/predictions",), "pictures"),
    Panel("Precision and recall", ("pictures/pr_curves",), "pictures"),
)

WORKSPACES: Mapping[str, Workspace] = {
    "training": Workspace("Trainings", {
        "Loss": (
            Panel("Loss", ("train/loss",)),
            Panel("Terms of the loss", _named("train/", TERMS)),
            *_STEPS,
        ),
        "Average precision": _PRECISIONS,
        "Pictures": _PICTURES,
    }),
    "distillation": Workspace("Distillations", {
        "Loss": (
            Panel("Labels and teacher", ("train/loss", "train/task", "train/kd")),
            Panel("What the teacher teaches", _named("train/kd_", (*TERMS, "feature"))),
            Panel("Terms of the labels", _named("train/", TERMS)),
            *_STEPS,
        ),
        "Learned weights": (
            Panel("Weights of the terms", _named("train/kd_weight_", TERMS)),
            Panel("Log variances", _named("train/kd_log_variance_", TERMS)),
        ),
        "Student and teacher": (
            Panel("Student and teacher", ("val/ap", "val/teacher_ap")),
            Panel("Gap to the teacher", _named("val/gap_", LEVELS)),
        ),
        "Average precision": _PRECISIONS,
        "Rates and widths": (
            Panel("Rates asked for by now", _named("prune/rate_", GROUPS)),
            Panel("Rates realised", _named("prune/realised_", GROUPS)),
            Panel("Parameters", ("prune/parameters",)),
            Panel("Temperature of the masks", ("prune/temperature",)),
            Panel("AP once the choice of filters stands", ("val/pruned_ap",)),
            Panel("Channels before and after", ("pictures/widths",), "pictures"),
        ),
        "Pictures": _PICTURES,
    }),
    "search": Workspace("Searches", {
        "Trials": (
            Panel("Loss over parameters", ("search/loss",), "points", "search/parameters"),
            Panel("Loss over multiply-adds", ("search/loss",), "points", "search/multiply_adds"),
            Panel("Rates and loss", (*_named("search/rate_", GROUPS), "search/loss"), "rates"),
            Panel("Which settings matter", ("search/loss",), "importance"),
        ),
        "Recovery": (
            Panel("Loss of the recovery", ("train/loss",)),
            Panel("Terms of the loss", _named("train/", TERMS)),
        ),
    }, group_by=("Group",), jobs=("sweep_pruning", "search")),
    "pipeline": Workspace("Pipelines", {
        "Networks": (
            Panel("AP over parameters", _named("network/", LEVELS), "lines", "network/parameters"),
            Panel("AP over the time of an image (ms)", _named("network/", LEVELS), "lines",
                  "network/milliseconds"),
            Panel("AP by face size over parameters", _named("network/", SIZES), "lines",
                  "network/parameters"),
        ),
        "Stages": (
            Panel("Final AP of each training", _named("final/", LEVELS), "bars"),
            Panel("Seconds of each stage", ("stage/seconds",), "bars"),
            Panel("Bytes of the exported file", ("export/bytes",), "bars"),
            Panel("Largest relative difference of the exported file", ("export/difference",),
                  "bars"),
        ),
        "Trainings": (
            Panel("Loss", ("train/loss",)),
            Panel("AP by level, validation", _named("val/", LEVELS)),
        ),
        "Pictures": (*_PICTURES, Panel("Channels before and after", ("pictures/widths",),
                                       "pictures")),
    }, group_by=("Group", "JobType")),
}  # fmt: skip
"""Name -> what it shows."""


def metrics_of(workspace: Workspace) -> set[str]:
    """Every metric that a workspace names, those of axes included; no patterns."""
    panels = list(itertools.chain(*workspace.sections.values()))
    axes = {panel.x for panel in panels if panel.kind in ("lines", "points")}
    return axes.union(*(panel.metrics for panel in panels))


def unlogged(workspace: Workspace, logged: Iterable[str]) -> set[str]:
    """Metrics and patterns that a workspace names and nothing in ``logged`` is."""
    names = set(logged)
    panels = itertools.chain(*workspace.sections.values())
    patterns = {panel.pattern for panel in panels if panel.pattern is not None}
    idle = {p for p in patterns if not any(re.search(p, name) for name in names)}
    return (metrics_of(workspace) - names) | idle
