"""The report of a search: one page of HTML that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import TrialState

from src.pruning.picture import draw_widths
from src.search.choice import Choice
from src.search.report import page as html
from src.search.report.figures import (
    draw_costs,
    draw_front,
    draw_history,
    draw_importance,
)
from src.search.report.slices import Project, draw_slices, slices
from src.search.report.tables import comparison_table, settings_table, trials_table
from src.search.report.trials import COSTS, Sweep, duration, number, read_sweep, seconds_of

SHARP = 200
"""Trials up to which pictures are drawn as lines; more would make the page large."""

FEWEST = 4
"""Measured trials from which importances are told."""

GOOD = 5
"""Trials that importances tell from the rest, at least: what Optuna's documentation asks for."""


def write_sweep_report(
    study: Study,
    path: Path,
    *,
    distributions: Mapping[str, BaseDistribution],
    chosen: Choice | None,
    title: str,
    what: str,
    second: str = "second objective",
    probe: str = "middle of the space",
    project: Project | None = None,
) -> None:
    """Write what a search tried, found and chose, at any time of it.

    Args:
        study: of one objective or more; of more, the Pareto front takes the place of the choice.
        path: the HTML file to write. Folders are created.
        distributions: the search space.
        chosen: from ``choose``; None without a complete trial, or with several objectives.
        title: of the page.
        what: name of the objective, such as ``held-out loss``.
        second: name of the second one, where there is one.
        probe: name of the design's first point, such as ``uniform plan``.
        project: the allowed point that stands for another, where not all are.
    """
    count = len(study.directions)
    objectives = [what, second, *(f"objective {place + 1}" for place in range(2, count))][:count]
    sweep = read_sweep(study, distributions, objectives, chosen=chosen, probe_name=probe)
    parts = [
        html.heading(title, level=1),
        *_summary(sweep),
        *_best(sweep),
        *_history(sweep),
        *_slices(sweep, project),
        *_importance(study, sweep),
        *_costs(sweep),
        *_widths(sweep),
        *_trials(sweep),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html.page(title, parts), encoding="utf-8")


def importances(study: Study, sweep: Sweep) -> dict[str, float] | str:
    """Share of each setting, or a sentence that says why there are none."""
    if len(sweep.measured) < FEWEST:
        return f"Importances need at least {FEWEST} complete trials."
    if len({tuple(trial.values) for trial in sweep.measured}) == 1:
        return "All trials have the same value: no setting is more important than another."
    try:
        share = good_trials(sweep) / len(sweep.measured)
        found = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=share)
        )
    except (ValueError, RuntimeError) as error:
        return f"Importances could not be computed: {error}"
    found = {name: share for name, share in found.items() if name in sweep.distributions}
    if not found or not all(map(math.isfinite, found.values())) or max(found.values()) <= 0:
        return "Importances could not be computed: the best trials do not differ from the others."
    return found


def good_trials(sweep: Sweep) -> int:
    """Trials that count as good for importances: a tenth, if that is enough, and at most half."""
    count = len(sweep.measured)
    return min(max(GOOD, math.ceil(count / 10)), count // 2)


def _summary(sweep: Sweep) -> Iterator[str]:
    goal = " and ".join(
        f"{'lowest' if sweep.sign(place) > 0 else 'highest'} {name}"
        for place, name in enumerate(sweep.objectives)
    )
    settings = f"{len(sweep.distributions)} setting{'s' * (len(sweep.distributions) != 1)}"
    yield html.paragraph(f"Study {sweep.name}: {settings}, searched for the {goal}.")
    complete = [t for t in sweep.trials if t.state == TrialState.COMPLETE]
    running = [t for t in sweep.trials if not t.state.is_finished()]
    spent = [taken for t in sweep.trials if (taken := seconds_of(t)) is not None]
    shown = [
        ("trials", len(sweep.trials)), ("complete", len(complete)), ("failed", len(sweep.failed)),
        ("pruned", len(sweep.pruned)), ("from the cache", len(sweep.cached)),
    ]  # fmt: skip
    if running:
        shown.append(("not finished", len(running)))
    counts = [(name, str(count)) for name, count in shown]
    yield html.counts(
        [*counts, ("spent in trials", duration(sum(spent)))] if sum(spent) else counts
    )


def _best(sweep: Sweep) -> Iterator[str]:
    if not sweep.measured:
        yield html.paragraph(
            "No trial is complete, so there is nothing to choose from; the table says what failed."
            if sweep.failed
            else "No trial is complete yet."
        )
    elif len(sweep.objectives) > 1:
        yield html.heading("Pareto front")
        yield html.paragraph(
            f"{len(sweep.front)} of {len(sweep.measured)} trials: no other is better in one "
            "objective without being worse in another. Values as measured."
        )
        if len(sweep.objectives) == 2:
            yield _picture(sweep, draw_front(sweep), "The two objectives of every trial")
        yield trials_table(sweep, sweep.front)
    elif sweep.chosen is not None:
        yield html.heading("Chosen trial")
        yield html.paragraph(_verdict(sweep, sweep.chosen))
        yield comparison_table(sweep, sweep.chosen)
        yield settings_table(sweep, sweep.chosen.trial)


def _verdict(sweep: Sweep, chosen: Choice) -> str:
    own, what = chosen.trial.number, sweep.objectives[0]
    modelled = not math.isnan(chosen.deviations[own])
    text = f"Trial {own} has the {'lowest' if sweep.sign(0) > 0 else 'highest'} "
    text += f"posterior mean of the {what}" if modelled else f"{what} measured"
    if modelled:
        text += ", which takes the luck out of single trials"
        lucky = sweep.luckiest
        if lucky is not None and lucky.number != own:
            text += f"; trial {lucky.number} measured the best value"
    text += "."
    probe = sweep.probe
    if probe is not None and probe.number == own:
        return f"{text} It is the {sweep.probe_name}: the search found nothing better."
    if probe is not None and probe.number in chosen.means:
        base, mean = chosen.means[probe.number], chosen.means[own]
        share = f" ({abs(mean / base - 1):.1%})" if base * mean > 0 else ""
        text += (
            f" That is {number(abs(mean - base))}{share} {'below' if mean < base else 'above'} the "
            f"{sweep.probe_name}, trial {probe.number}."
        )
    return text


def _history(sweep: Sweep) -> Iterator[str]:
    if not sweep.trials:
        return
    yield html.heading("History")
    yield _picture(sweep, draw_history(sweep), "Value of each trial, and the best so far")


def _slices(sweep: Sweep, project: Project | None) -> Iterator[str]:
    open_ = [name for name, each in sweep.distributions.items() if not each.single()]
    if not sweep.measured or not open_:
        return
    yield html.heading("Settings")
    curves = slices(sweep, project=project)
    text = "Each point is a trial, later ones darker."
    if sweep.chosen is not None:
        text += " A ring marks the chosen trial"
        text += f", a square the {sweep.probe_name}." if sweep.probe is not None else "."
    if curves:
        text += (
            " The curve is the posterior mean ± deviation along a setting, the others as chosen; "
            "so other trials need not lie on it."
        )
    missing = [sweep.label(name) for name in open_ if name not in curves]
    if curves and project is not None and missing:
        text += f" {', '.join(missing)} follows from the others, so it has no curve."
    yield html.paragraph(text, note=True)
    for objective, name in enumerate(sweep.objectives):
        drawing = draw_slices(sweep, curves, objective=objective)
        yield _picture(sweep, drawing, f"{name} against each setting")


def _importance(study: Study, sweep: Sweep) -> Iterator[str]:
    if not sweep.measured:
        return
    yield html.heading("Importance of the settings")
    found = importances(study, sweep)
    if isinstance(found, str):
        yield html.paragraph(found)
        return
    text = (
        f"How much a setting tells the best {good_trials(sweep)} of {len(sweep.measured)} trials "
        "from all (PED-ANOVA, Watanabe et al., 2023), in shares of 100 %. It looks at where trials "
        "lie, not at how their values differ: a setting on which the search agreed early has a "
        "large share even if it changes little. The curves above tell that."
    )
    yield html.paragraph(text, note=True)
    yield _picture(sweep, draw_importance(sweep, found), "Importance of each setting")


def _costs(sweep: Sweep) -> Iterator[str]:
    costs = sweep.costs
    if not costs:
        return
    yield html.heading("Cost")
    drawing = draw_costs(sweep, costs)
    about = " and ".join(COSTS[cost] for cost in costs)
    yield _picture(sweep, drawing, f"{sweep.objectives[0]} against {about}")


def _widths(sweep: Sweep) -> Iterator[str]:
    widths = sweep.chosen.trial.user_attrs.get("widths") if sweep.chosen is not None else None
    if not widths:
        return
    yield html.heading("Widths of the chosen trial")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "widths.svg"
        draw_widths(widths, file)
        yield html.image(file.read_bytes(), "Channels of each layer before and after pruning")


def _trials(sweep: Sweep) -> Iterator[str]:
    if sweep.trials:
        yield html.heading("Trials")
        yield trials_table(sweep, sweep.trials)


def _picture(sweep: Sweep, drawing: Any, about: str) -> str:
    return html.picture(drawing, about, pixels=len(sweep.trials) > SHARP)
