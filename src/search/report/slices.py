"""The objective along each setting: the trials, and what a model of them says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from src.search.choice import FEWEST, fit, measured
from src.search.coordinates import from_unit, to_unit
from src.search.posterior import GaussianProcess
from src.search.report.figures import BELIEF, SMALL, plain, scatter, view
from src.search.report.trials import SearchRecord

POINTS = 101
"""Points of a curve; settings with fewer values have one for each."""

Project = Callable[[dict[str, Any]], Mapping[str, Any]]


class Slice(NamedTuple):
    """Values of the setting [N], as in the trials, and what is believed of the objective there."""

    values: list[Any]
    means: np.ndarray
    deviations: np.ndarray


def slices(search: SearchRecord, *, project: Project | None = None) -> dict[str, Slice]:
    """One per setting that a curve says something of; none without a choice.

    Args:
        search: its first objective is modelled.
        project: the allowed point that stands for another. Where it moves the setting itself,
            as the one that a budget is solved for, there is nothing to show.
    """
    known = measured(search.trials, search.distributions)
    if search.chosen is None or len(known) < FEWEST:
        return {}
    process = fit(known, search.distributions, direction=search.directions[0])
    found = {
        name: _along(name, search.chosen.trial.params, search, process, project)
        for name in search.distributions
    }
    return {name: each for name, each in found.items() if each is not None}


def _along(
    name: str,
    chosen: Mapping[str, Any],
    search: SearchRecord,
    process: GaussianProcess,
    project: Project | None,
) -> Slice | None:
    own = {name: search.distributions[name]}
    values = [from_unit(own, [share])[name] for share in np.linspace(0, 1, POINTS)]
    kept = []
    for value in dict.fromkeys(values):
        allowed = {**chosen, name: value}
        if project is not None:
            allowed = dict(project(allowed))
        if _same(allowed[name], value):
            kept.append(allowed)
    if len(kept) < 2:
        return None
    points = np.array([to_unit(search.distributions, params) for params in kept])
    return Slice([params[name] for params in kept], *process.posterior(points))


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, float) or isinstance(second, float):
        return bool(np.isclose(first, second, rtol=1e-6, atol=1e-9))
    return bool(first == second)


def draw_slice(
    axes: Axes, search: SearchRecord, name: str, curve: Slice | None, objective: int
) -> None:
    """Values of an objective against a setting, with what is believed of them along it."""
    distribution: Any = search.distributions[name]
    trials = [trial for trial in search.measured if name in trial.params]
    if isinstance(distribution, CategoricalDistribution):
        choices = [str(choice) for choice in distribution.choices]
        axes.set_xticks(range(len(choices)), [plain(_short(text)) for text in choices])
        axes.set_xlim(-0.5, len(choices) - 0.5)
        if sum(map(len, choices)) > 24:
            axes.tick_params(axis="x", labelrotation=30, labelsize=SMALL)
        # Beside each other, in the order of the trials, and left of the curve's mark.
        places = [
            choices.index(str(trial.params[name])) - 0.3 + 0.4 * trial.number / len(search.trials)
            for trial in trials
        ]
    else:
        low, high, log = distribution.low, distribution.high, distribution.log
        if log:
            axes.set_xscale("log")
            axes.set_xlim(low * (low / high) ** 0.04, high * (high / low) ** 0.04)
        else:
            axes.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
        if isinstance(distribution, IntDistribution) and not log:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        places = [trial.params[name] for trial in trials]
    scatter(axes, search, trials, places, objective)
    if curve is not None:
        _draw_curve(axes, distribution, curve)
        axes.set_ylim(view(search, objective))  # not that of the curve's far end
    axes.set_title(plain(search.label(name)), fontsize=10)
    axes.set_ylabel(plain(search.objectives[objective]))


def _draw_curve(axes: Axes, distribution: BaseDistribution, curve: Slice) -> None:
    values, means, deviations = curve
    if isinstance(distribution, CategoricalDistribution):
        choices = [str(choice) for choice in distribution.choices]
        places = [choices.index(str(value)) + 0.3 for value in values]
        axes.errorbar(
            places, means, deviations, color=BELIEF, linestyle="none", marker="D", markersize=4,
        )  # fmt: skip
        return
    axes.plot(values, means, color=BELIEF, linewidth=1.8, zorder=4)
    axes.fill_between(
        values, means - deviations, means + deviations, color=BELIEF, alpha=0.15, linewidth=0
    )


def _short(text: str) -> str:
    return text if len(text) <= 16 else f"{text[:7]}…{text[-8:]}"
