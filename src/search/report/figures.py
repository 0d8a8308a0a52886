"""Pictures of a search: its course, importances, costs, and fronts.

Not ``optuna.visualization.matplotlib``: its plots set pyplot's style for the whole process, open
figures of pyplot, and show neither the posterior, nor the chosen trial, nor which trials failed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import EngFormatter, MaxNLocator, StrMethodFormatter
from optuna.trial import FrozenTrial, TrialState

from src.report.charts import COLORS, plain
from src.search.report.trials import COSTS, SearchRecord, number
from src.search.study import CACHED

VALUE, BEST, BELIEF, FAILED = COLORS[0], COLORS[6], COLORS[1], COLORS[3]
"""Colours: measured values, the best so far, what the model says, trials without a value."""

SHARP = 200
"""Trials up to which each is drawn as lines; more would make the page large."""

SMALL = 9
"""Points of the smallest text, which is 11 pixels where a column is as narrow as a telephone."""

_AGES = LinearSegmentedColormap.from_list("ages", ("#BFDDF0", VALUE, "#003D5C"))
_RING: dict[str, Any] = {
    "s": 130, "facecolors": "none", "edgecolors": BELIEF, "linewidths": 2, "zorder": 5,
}  # fmt: skip


def draw_history(axes: Axes, search: SearchRecord, objective: int) -> None:
    """Values of an objective by trial; of the first also what the model says."""
    trials = search.measured
    places = [trial.number for trial in trials]
    values = np.array([trial.values[objective] for trial in trials])
    show_view(axes, search, objective)
    own = np.array([CACHED not in trial.user_attrs for trial in trials], dtype=bool)
    axes.scatter(
        np.array(places)[own], values[own], color=VALUE, label="measured", **_point(search)
    )
    if not own.all():
        point = {**_point(search), "edgecolors": VALUE, "linewidths": 1.1}
        axes.scatter(
            np.array(places)[~own], values[~own], facecolors="white", label="from the cache",
            **point,
        )  # fmt: skip
    mark_diverged(axes, search, objective, places)
    if trials:
        sign = search.sign(objective)
        best = sign * np.minimum.accumulate(sign * values)
        axes.step(
            places, best, where="post", color=BEST, linewidth=1.2, linestyle="--",
            label="best measured so far",
        )  # fmt: skip
    if objective == 0:
        _draw_beliefs(axes, search)
    _mark_valueless(axes, search)
    axes.set_ylabel(plain(search.objectives[objective]))
    tidy(axes)
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(-0.7, max(trial.number for trial in search.trials) + 0.7)


def draw_importance(axes: Axes, search: SearchRecord, importances: Mapping[str, float]) -> None:
    """One bar per setting, the most important on top."""
    ordered = sorted(importances.items(), key=lambda item: -item[1])
    axes.barh(range(len(ordered)), [share for _, share in ordered], color=VALUE, height=0.7)
    for place, (_, share) in enumerate(ordered):
        axes.text(share, place, f" {share:.0%}", va="center", fontsize=SMALL)
    axes.set_yticks(range(len(ordered)), [plain(search.label(name)) for name, _ in ordered])
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set_xlim(0, 1.25 * max(importances.values()))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    tidy(axes, lines="x")


def draw_cost(axes: Axes, search: SearchRecord, cost: str) -> None:
    """The first objective against a user attribute that says what a trial's network costs."""
    trials = [trial for trial in search.measured if cost in trial.user_attrs]
    places = [trial.user_attrs[cost] for trial in trials]
    scatter(axes, search, trials, places, 0)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    if cost == "parameters":  # all of nearly as many, where a budget is met
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    else:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set(xlabel=COSTS[cost], ylabel=plain(search.objectives[0]))


def draw_front(axes: Axes, search: SearchRecord) -> None:
    """The first two objectives of every trial, and those that nothing is better than in both."""
    values = np.array([trial.values[:2] for trial in search.measured])
    axes.scatter(values[:, 0], values[:, 1], color="0.75", label="measured", **_point(search))
    front = np.array([trial.values[:2] for trial in search.front])
    # A corner of the step is what the front's trials reach together: worse in both than either.
    axes.step(
        front[:, 0], front[:, 1], where="post" if search.sign(0) > 0 else "pre", color=BELIEF,
        linewidth=1.2, alpha=0.7,
    )  # fmt: skip
    axes.scatter(front[:, 0], front[:, 1], color=BELIEF, label="Pareto front", **_point(search))
    for trial, place in zip(search.front, front, strict=True):
        axes.annotate(
            str(trial.number), place, textcoords="offset points", xytext=(5, 4), fontsize=SMALL
        )
    axes.set(xlabel=plain(search.objectives[0]), ylabel=plain(search.objectives[1]))
    for axis, limits in ((axes.xaxis, view(search, 0)), (axes.yaxis, view(search, 1))):
        show_numbers(axis, limits)
    axes.set(xlim=view(search, 0), ylim=view(search, 1))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    tidy(axes)


def view(search: SearchRecord, objective: int) -> tuple[float, float] | None:
    """Limits of an axis that shows all values but those of trials that diverged; None without."""
    if not search.measured:
        return None
    values = np.array([trial.values[objective] for trial in search.measured])
    if objective == 0 and search.chosen is not None:
        means = np.array(list(search.chosen.means.values()))
        spread = np.nan_to_num(np.array(list(search.chosen.deviations.values())))
        values = np.concatenate([values, means - spread, means + spread])
    sign, limit = search.sign(objective), search.limit(objective)
    seen = values[sign * values <= sign * limit]
    margin = 0.08 * (float(np.ptp(seen)) or max(abs(float(seen[0])), 1e-9))
    return float(seen.min()) - margin, float(seen.max()) + margin


def mark_diverged(
    axes: Axes, search: SearchRecord, objective: int, places: Sequence[float]
) -> None:
    """An arrow at the edge for each value beyond it, with the value."""
    sign, limit = search.sign(objective), search.limit(objective) if search.measured else 0.0
    for trial, place in zip(search.measured, places, strict=True):
        if search.loss(trial, objective) > sign * limit:
            axes.annotate(
                number(trial.values[objective]), (place, 1 if sign > 0 else 0),
                xycoords=("data", "axes fraction"), xytext=(0, -16 * sign),
                textcoords="offset points", ha="center", va="center", fontsize=SMALL, color=VALUE,
                arrowprops={"arrowstyle": "->", "color": VALUE, "shrinkA": 0},
            )  # fmt: skip


def scatter(
    axes: Axes,
    search: SearchRecord,
    trials: Sequence[FrozenTrial],
    places: Sequence[float],
    objective: int,
) -> None:
    """Values at places, later trials darker, with marks of the chosen trial and the probe."""
    ages = [trial.number / max(1, search.trials[-1].number) for trial in trials]
    values = [trial.values[objective] for trial in trials]
    axes.scatter(places, values, c=ages, cmap=_AGES, vmin=0, vmax=1, **_point(search))
    for trial, place, value in zip(trials, places, values, strict=True):
        if search.chosen is not None and trial.number == search.chosen.trial.number:
            axes.scatter(place, value, **_RING)
        if search.probe is not None and trial.number == search.probe.number:
            axes.scatter(place, value, **{**_RING, "edgecolors": "0.4", "marker": "s"})
    show_view(axes, search, objective)
    tidy(axes)


def show_view(axes: Axes, search: SearchRecord, objective: int) -> None:
    """Values of an objective upwards."""
    limits = view(search, objective)
    axes.set_ylim(limits)
    show_numbers(axes.yaxis, limits)


def show_numbers(axis: Axis, limits: tuple[float, float] | None) -> None:
    """Large numbers as people write them, 950M, and not with a power of ten in a corner."""
    if limits is not None and max(map(abs, limits)) >= 1e5:
        axis.set_major_formatter(EngFormatter(sep=""))


def tidy(axes: Axes, *, lines: Literal["both", "x"] = "both") -> None:
    axes.grid(axis=lines, color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_beliefs(axes: Axes, search: SearchRecord) -> None:
    if search.chosen is None:
        return
    chosen = search.chosen
    known = [n for n in chosen.means if not math.isnan(chosen.deviations[n])]
    if known:
        axes.errorbar(
            [n + 0.22 for n in known], [chosen.means[n] for n in known],
            yerr=[chosen.deviations[n] for n in known], color=BELIEF, linestyle="none", marker="D",
            markersize=3.5, elinewidth=1.1, alpha=0.85, label="posterior mean ± deviation",
        )  # fmt: skip
    axes.scatter(chosen.trial.number, chosen.trial.values[0], label="chosen", **_RING)
    probe = search.probe
    if probe is not None and probe.number in chosen.means:
        axes.axhline(
            chosen.means[probe.number], color="0.55", linestyle=":", linewidth=1.2, zorder=1,
            label=plain(search.probe_name),
        )  # fmt: skip


def _mark_valueless(axes: Axes, search: SearchRecord) -> None:
    for state, name, marker, color, edge in (
        (TrialState.FAIL, "failed", "x", FAILED, 1.8),
        (TrialState.PRUNED, "given up", "v", "0.5", 0),
    ):
        if trials := search.ended(state):
            axes.plot(
                [trial.number for trial in trials], [0.03] * len(trials), marker, color=color,
                transform=axes.get_xaxis_transform(), label=name, markersize=6,
                markeredgewidth=edge,
            )  # fmt: skip


def _point(search: SearchRecord) -> dict[str, Any]:
    """How a trial is drawn: smaller where there are many."""
    size = 34 * min(1.0, (80 / max(1, len(search.trials))) ** 0.5)
    return {"s": size, "linewidths": 0.6, "edgecolors": "white", "zorder": 3,
            "rasterized": len(search.trials) > SHARP}  # fmt: skip
