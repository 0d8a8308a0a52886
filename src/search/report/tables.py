"""Tables of a search: what was chosen beside what it is compared with, and every trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from src.report import page as html
from src.search.choice import Choice
from src.search.report.trials import COSTS, SearchRecord, duration, number, seconds_of
from src.search.study import CACHED, ERROR


def comparison_table(search: SearchRecord, chosen: Choice) -> Markup:
    """The chosen trial beside the luckiest and the probe."""
    named = [("chosen", chosen.trial), ("best measured", search.luckiest)]
    named.append((search.probe_name, search.probe))
    costs = search.costs
    rows = [
        [
            name, str(trial.number), number(trial.values[0]), _belief(chosen, trial),
            *(_attribute(trial, cost) for cost in costs),
        ]
        for name, trial in named if trial is not None
    ]  # fmt: skip
    head = ["", "trial", f"{search.objectives[0]}, measured", "posterior mean ± deviation"]
    head += [COSTS[cost] for cost in costs]
    return html.table(head, rows, marks=["marked", *[""] * (len(rows) - 1)])


def settings_table(search: SearchRecord, trial: FrozenTrial) -> Markup:
    """Settings of the chosen trial, what the network made of them, and what was searched."""
    realised = trial.user_attrs.get("realised_rates", {})
    probe = search.probe
    head = ["setting", "chosen"]
    head += ["realised"] if realised else []
    head += [search.probe_name] if probe is not None else []
    rows = []
    for name, distribution in search.distributions.items():
        row = [name, number(trial.params[name])]
        if realised:
            rate = realised.get(name.rpartition(".")[2])
            row.append("" if rate is None else number(rate))
        if probe is not None:
            row.append(number(probe.params[name]) if name in probe.params else "")
        rows.append([*row, _range(distribution)])
    return html.table([*head, "searched"], rows)


def trials_table(search: SearchRecord, trials: Sequence[FrozenTrial]) -> Markup:
    """One row per trial: settings, values, costs, time, and what became of it."""
    costs, chosen = search.costs, search.chosen
    head = ["trial", *map(search.label, search.distributions), *search.objectives]
    head += ["posterior mean"] * (chosen is not None) + [COSTS[cost] for cost in costs]
    rows, marks = [], []
    for trial in trials:
        taken = seconds_of(trial)
        row = [str(trial.number)]
        row += [number(trial.params[n]) if n in trial.params else "" for n in search.distributions]
        row += [number(v) for v in trial.values or []] or [""] * len(search.objectives)
        row += [_belief(chosen, trial)] if chosen is not None else []
        row += [_attribute(trial, cost) for cost in costs]
        rows.append([*row, "" if taken is None else duration(taken), _state(trial)])
        is_chosen = chosen is not None and trial.number == chosen.trial.number
        measured = trial.state == TrialState.COMPLETE
        marks.append("marked" if is_chosen else "" if measured else "faint")
    return html.table([*head, "time", "state"], rows, marks=marks, words=True)


def _attribute(trial: FrozenTrial, name: str) -> str:
    return number(trial.user_attrs[name]) if name in trial.user_attrs else ""


def _belief(chosen: Choice, trial: FrozenTrial) -> str:
    """Mean ± deviation with two digits of the deviation."""
    mean = chosen.means.get(trial.number, math.nan)
    deviation = chosen.deviations.get(trial.number, math.nan)
    if math.isnan(deviation):
        return ""
    places = 4 if deviation == 0 else max(0, 1 - math.floor(math.log10(deviation)))
    return f"{mean:,.{places}f} ± {deviation:,.{places}f}"


def _state(trial: FrozenTrial) -> str:
    """How a trial ended, and of a failed one why."""
    if CACHED in trial.user_attrs:
        return f"as trial {trial.user_attrs[CACHED]}"
    if trial.state == TrialState.FAIL:
        return f"failed: {trial.user_attrs.get(ERROR, 'no reason is known')}"
    return "given up" if trial.state == TrialState.PRUNED else trial.state.name.lower()


def _range(distribution: BaseDistribution) -> str:
    """What was searched of a setting."""
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(str, distribution.choices))
    kind: Any = distribution
    step = f" by {number(kind.step)}" if kind.step not in (None, 1) else ""
    return f"{number(kind.low)} to {number(kind.high)}{step}{', logarithmic' if kind.log else ''}"
