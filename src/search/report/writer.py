"""The report of a search: one page of HTML that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from markupsafe import Markup
from optuna.distributions import BaseDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import TrialState

from src.pruning.picture import draw_widths
from src.report import page as html
from src.report.charts import column_chart
from src.search.choice import Choice
from src.search.report.figures import draw_cost, draw_front, draw_history, draw_importance
from src.search.report.slices import Project, draw_slice, slices
from src.search.report.tables import comparison_table, settings_table, trials_table
from src.search.report.trials import COSTS, SearchRecord, duration, number, read_search, seconds_of
from src.search.study import CACHED

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
    search = read_search(study, distributions, objectives, chosen=chosen, probe_name=probe)
    parts = [
        html.heading(title, level=1),
        *_summary(search),
        *_best(search),
        *_history(search),
        *_slices(search, project),
        *_importance(study, search),
        *_costs(search),
        *_widths(search),
        *_trials(search),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html.page(title, parts), encoding="utf-8")


def importances(study: Study, search: SearchRecord) -> dict[str, float] | str:
    """Share of each setting, or a sentence that says why there are none."""
    if len(search.measured) < FEWEST:
        return f"Importances need at least {FEWEST} complete trials."
    if len({tuple(trial.values) for trial in search.measured}) == 1:
        return "All trials have the same value: no setting is more important than another."
    try:
        share = good_trials(search) / len(search.measured)
        found = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=share)
        )
    except (ValueError, RuntimeError) as error:
        return f"Importances could not be computed: {error}"
    found = {name: share for name, share in found.items() if name in search.distributions}
    if not found or not all(map(math.isfinite, found.values())) or max(found.values()) <= 0:
        return "Importances could not be computed: the best trials do not differ from the others."
    return found


def good_trials(search: SearchRecord) -> int:
    """Trials that count as good for importances: a tenth, if that is enough, and at most half."""
    count = len(search.measured)
    return min(max(GOOD, math.ceil(count / 10)), count // 2)


def _summary(search: SearchRecord) -> Iterator[Markup]:
    goal = " and ".join(
        f"{'lowest' if search.sign(place) > 0 else 'highest'} {name}"
        for place, name in enumerate(search.objectives)
    )
    settings = f"{len(search.distributions)} setting{'s' * (len(search.distributions) != 1)}"
    yield html.paragraph(f"Study {search.name}: {settings}, searched for the {goal}.")
    cached = [t for t in search.trials if CACHED in t.user_attrs]
    running = [t for t in search.trials if not t.state.is_finished()]
    spent = [taken for t in search.trials if (taken := seconds_of(t)) is not None]
    ends = {TrialState.COMPLETE: "complete", TrialState.FAIL: "failed",
            TrialState.PRUNED: "given up"}  # fmt: skip
    shown = [("trials", len(search.trials))]
    shown += [(name, len(search.ended(state))) for state, name in ends.items()]
    shown.append(("from the cache", len(cached)))
    if running:
        shown.append(("not finished", len(running)))
    counts = [(name, str(count)) for name, count in shown]
    yield html.counts(
        [*counts, ("spent in trials", duration(sum(spent)))] if sum(spent) else counts
    )


def _best(search: SearchRecord) -> Iterator[Markup]:
    if not search.measured:
        yield html.paragraph(
            "No trial is complete, so there is nothing to choose from; the table says what failed."
            if search.ended(TrialState.FAIL)
            else "No trial is complete yet."
        )
    elif len(search.objectives) > 1:
        yield html.heading("Pareto front")
        yield html.paragraph(
            f"{len(search.front)} of {len(search.measured)} trials: no other is better in one "
            "objective without being worse in another. Values as measured."
        )
        if len(search.objectives) == 2:
            drawing = column_chart(draw_front, search)
            yield html.charts([(drawing, "The two objectives of every trial")])
        yield trials_table(search, search.front)
    elif search.chosen is not None:
        yield html.heading("Chosen trial")
        yield html.paragraph(_verdict(search, search.chosen))
        yield comparison_table(search, search.chosen)
        yield settings_table(search, search.chosen.trial)


def _verdict(search: SearchRecord, chosen: Choice) -> str:
    own, what = chosen.trial.number, search.objectives[0]
    modelled = not math.isnan(chosen.deviations[own])
    text = f"Trial {own} has the {'lowest' if search.sign(0) > 0 else 'highest'} "
    text += f"posterior mean of the {what}" if modelled else f"{what} measured"
    if modelled:
        text += ", which takes the luck out of single trials"
        lucky = search.luckiest
        if lucky is not None and lucky.number != own:
            text += f"; trial {lucky.number} measured the best value"
    text += "."
    probe = search.probe
    if probe is not None and probe.number == own:
        return f"{text} It is the {search.probe_name}: the search found nothing better."
    if probe is not None and probe.number in chosen.means:
        base, mean = chosen.means[probe.number], chosen.means[own]
        share = f" ({abs(mean / base - 1):.1%})" if base * mean > 0 else ""
        text += (
            f" That is {number(abs(mean - base))}{share} {'below' if mean < base else 'above'} the "
            f"{search.probe_name}, trial {probe.number}."
        )
    return text


def _history(search: SearchRecord) -> Iterator[Markup]:
    if search.trials:
        yield html.heading("History")
        yield html.charts([
            (column_chart(draw_history, search, place), f"{name} of each trial, and the best yet")
            for place, name in enumerate(search.objectives)
        ])  # fmt: skip


def _slices(search: SearchRecord, project: Project | None) -> Iterator[Markup]:
    open_ = [name for name, each in search.distributions.items() if not each.single()]
    if not search.measured or not open_:
        return
    yield html.heading("Settings")
    curves = slices(search, project=project)
    text = "Each point is a trial, later ones darker."
    if search.chosen is not None:
        text += " A ring marks the chosen trial"
        text += f", a square the {search.probe_name}." if search.probe is not None else "."
    if curves:
        text += (
            " The curve is the posterior mean ± deviation along a setting, the others as chosen; "
            "so other trials need not lie on it."
        )
    missing = [search.label(name) for name in open_ if name not in curves]
    if curves and project is not None and missing:
        text += f" {', '.join(missing)} follows from the others, so it has no curve."
    yield html.paragraph(text, note=True)
    for objective, name in enumerate(search.objectives):
        believed = curves if objective == 0 else {}
        yield html.charts([
            (column_chart(draw_slice, search, each, believed.get(each), objective),
             f"{name} against {search.label(each)}")
            for each in open_
        ])  # fmt: skip


def _importance(study: Study, search: SearchRecord) -> Iterator[Markup]:
    if not search.measured:
        return
    yield html.heading("Importance of the settings")
    found = importances(study, search)
    if isinstance(found, str):
        yield html.paragraph(found)
        return
    text = (
        f"How much a setting tells the best {good_trials(search)} of {len(search.measured)} trials "
        "from all (PED-ANOVA, Watanabe et al., 2023), in shares of 100 %. It looks at where trials "
        "lie, not at how their values differ: a setting on which the search agreed early has a "
        "large share even if it changes little. The curves above tell that."
    )
    yield html.paragraph(text, note=True)
    drawing = column_chart(draw_importance, search, found)
    yield html.charts([(drawing, "Importance of each setting")])


def _costs(search: SearchRecord) -> Iterator[Markup]:
    if costs := search.costs:
        yield html.heading("Cost")
        yield html.charts([
            (column_chart(draw_cost, search, cost), f"{search.objectives[0]} against {COSTS[cost]}")
            for cost in costs
        ])  # fmt: skip


def _widths(search: SearchRecord) -> Iterator[Markup]:
    widths = search.chosen.trial.user_attrs.get("widths") if search.chosen is not None else None
    if not widths:
        return
    yield html.heading("Widths of the chosen trial")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "widths.svg"
        draw_widths(widths, file)
        about = "Channels of each layer before and after pruning"
        yield html.image(file.read_bytes(), about, wide=True)


def _trials(search: SearchRecord) -> Iterator[Markup]:
    if search.trials:
        yield html.heading("Trials")
        yield trials_table(search, search.trials)
