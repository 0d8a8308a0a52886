"""Searches of the pruning rates side by side, on a stand-in for real trials.

    python experiments/004-search/search_methods.py --table trials.csv --out FOLDER [--seeds 10]

The table has the six rates, ``parameters``, ``loss`` and ``seed`` of real trials of Nano-B
Enhanced; a smooth regression of it takes their place, with the noise that repeated trials show. All
methods search the same box, begin with a uniform plan, and are judged by the loss without noise of
the plan that they return, among those within the budget. Written: ``results.json``, ``results.md``
and ``curves.png``.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bfpgm
import numpy as np
import optuna
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial
from scipy.stats import qmc
from search_problem import Plan, PruningProblem, Rates, Trials
from surrogate import FITS, Fit, Quality, Table, cross_validated, read_table
from tqdm import tqdm

from src.models.channels import GROUPS
from src.search.choice import choose
from src.search.coordinates import Distributions
from src.search.sampling import SearchSampler

DESIGN = 8
"""First points of our searches: the probe and seven of a Sobol sequence."""

Choice = list[int | None]
"""After each evaluation, the number of the plan that the method would return; None: it has none."""

Search = Callable[[Trials, int], Choice]
"""Uses up the evaluations that it is given, with a seed."""

Make = Callable[[int], BaseSampler]


class Method(NamedTuple):
    """A row of the table."""

    name: str
    evaluations: int
    search: Search


class OnSurface:
    """The problem's surface as :class:`src.search.sampling.Feasible` wants it."""

    def __init__(self, problem: PruningProblem) -> None:
        self._surface = problem.surface
        self.solved = problem.surface.solved

    def probe(self) -> Rates:
        return self._surface.uniform()

    def project(self, params: Any) -> Rates:
        return self._surface.project(params)

    def key(self, params: Any) -> tuple[int, ...]:
        return tuple(self._surface.kept(params))

    def facts(self, params: Any) -> dict[str, Any]:
        return {}


def gp(seed: int) -> BaseSampler:
    """Gaussian process with log expected improvement, from the first trial on."""
    return GPSampler(seed=seed, n_startup_trials=1, deterministic_objective=False)


def tpe(seed: int) -> BaseSampler:
    """Without random points of its own, for behind our design."""
    return TPESampler(seed=seed, n_startup_trials=1)


def random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def on_surface(make: Make, *, posterior_mean: bool = False) -> Search:
    """A sampler of Optuna behind our design, on our surface."""

    def search(trials: Trials, seed: int) -> Choice:
        distributions = _box(trials.problem)
        feasible = OnSurface(trials.problem)
        sampler = SearchSampler(make, distributions, seed=seed, design=DESIGN, feasible=feasible)
        study = optuna.create_study(sampler=sampler)
        while trials.left:
            trial = study.ask(distributions)
            study.tell(trial, trials(trial.params).observed)
        return likely_best(study, distributions) if posterior_mean else trials.luckiest()

    return search


def on_segment(make: Make) -> Search:
    """The same with another surface: all rates move along the way to the bounds."""

    def search(trials: Trials, seed: int) -> Choice:
        problem = trials.problem
        distributions = _box(problem)
        sobol = qmc.Sobol(len(GROUPS), scramble=True, rng=np.random.default_rng(seed))
        design = sobol.random(DESIGN)
        study = optuna.create_study(sampler=RandomSampler(seed=seed))
        while trials.left:
            number = len(trials.plans)
            study.sampler = make(seed * 100_003 + number)
            if number == 0:
                rates = problem.surface.uniform()
            elif number < DESIGN:
                rates = along_segment(problem, problem.rates(design[number]))
            else:
                proposal = study.ask(distributions)
                study.tell(proposal, state=TrialState.FAIL)
                rates = along_segment(problem, proposal.params)
            trial = create_trial(
                params=rates, distributions=distributions, value=trials(rates).observed
            )
            study.add_trial(trial)
        return likely_best(study, distributions)

    return search


def along_segment(problem: PruningProblem, rates: Rates) -> Rates:
    """The largest plan within the budget between ``rates`` and the corner of the box behind it."""
    start = problem.point(rates)
    corner = np.full(len(start), float(problem.surface.parameters(rates) > problem.budget))
    small, large = (corner, start) if corner[0] else (start, corner)
    below, above = 0.0, 1.0
    for _ in range(30):
        middle = (below + above) / 2
        size = problem.surface.parameters(problem.rates(large + middle * (small - large)))
        below, above = (below, middle) if size <= problem.budget else (middle, above)
    return problem.rates(np.clip(large + above * (small - large), 0, 1))


def in_box(make: Make) -> Search:
    """A sampler of Optuna as it comes, in the box, with the budget as its constraint."""

    def search(trials: Trials, seed: int) -> Choice:
        problem = trials.problem
        distributions = _box(problem)
        study = optuna.create_study(sampler=make(seed))
        study.enqueue_trial(problem.surface.uniform())
        while trials.left:
            trial = study.ask(distributions)
            plan = trials(trial.params)
            trial.set_constraint("parameters", plan.parameters / problem.budget - 1)
            study.tell(trial, plan.observed)
        return trials.luckiest()

    return search


def likely_best(study: optuna.Study, distributions: Distributions) -> Choice:
    """The plans of the lowest posterior mean, as our search chooses."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    places = {trial.number: place for place, trial in enumerate(done)}
    return [
        places[choose(done[:number], distributions, direction=study.direction).trial.number]
        for number in range(1, len(done) + 1)
    ]


def _box(problem: PruningProblem) -> dict[str, BaseDistribution]:
    pairs = zip(GROUPS, problem.low, problem.high, strict=True)
    return {name: FloatDistribution(float(low), float(high)) for name, low, high in pairs}


# B-FPGM's own box, [0, target + 0.2], is left out: no table of plans within our bounds says
# anything about rates of 0.7.
METHODS = [
    Method("ours: GP on the surface, posterior mean", 25, on_surface(gp, posterior_mean=True)),
    Method("GP on the surface, luckiest trial", 25, on_surface(gp)),
    Method("GP, projected along the segment", 25, on_segment(gp)),
    Method("TPE on the surface", 25, on_surface(tpe)),
    Method("random on the surface", 25, on_surface(random)),
    Method("GP in the box with a constraint", 25, in_box(lambda seed: GPSampler(seed=seed))),
    Method("TPE in the box with a constraint", 25, in_box(lambda seed: TPESampler(seed=seed))),
    Method("B-FPGM", 25, bfpgm.search),
    Method("B-FPGM", 250, bfpgm.search),
    Method("B-FPGM", 1000, bfpgm.search),
]  # fmt: skip


class Run(NamedTuple):
    """One method with one seed."""

    curve: list[float]
    """Loss without noise of what it would return after each evaluation; NaN where nothing."""
    chosen: Plan
    trained: int
    within: int
    """Trained plans within the budget."""
    seconds: float


def run(method: Method, problem: PruningProblem, seed: int) -> Run:
    """Let a method search once."""
    start = time.perf_counter()
    trials = Trials(problem, method.evaluations, seed)
    choice = method.search(trials, seed)
    assert len(choice) == len(trials.plans) == method.evaluations
    last = choice[-1]
    assert last is not None, f"{method.name} found no plan within the budget"
    return Run(
        curve=[float("nan") if i is None else trials.plans[i].loss for i in choice],
        chosen=trials.plans[last],
        trained=sum(plan.trained for plan in trials.plans),
        within=sum(p.trained and p.parameters <= problem.budget for p in trials.plans),
        seconds=time.perf_counter() - start,
    )


def best_known(problem: PruningProblem) -> Plan:
    """A plan that is hard to beat: of many random ones, then among neighbours of the best."""
    rng = np.random.default_rng(0)
    points = rng.random((10_000, len(GROUPS)))
    parameters, losses = problem.tabulate(points)
    for width in np.geomspace(0.3, 0.01, 8):
        losses = np.where(parameters <= problem.budget, losses, np.inf)
        points = points[np.argsort(losses)[:20]]
        near = np.repeat(points, 50, axis=0)
        near = np.clip(near + rng.normal(0, width, near.shape), 0, 1)
        points = np.concatenate([points, near])
        parameters, losses = problem.tabulate(points)
    losses = np.where(parameters <= problem.budget, losses, np.inf)
    return problem.evaluate(problem.rates(points[int(np.argmin(losses))]), seed=0)


def summary(
    runs: dict[int, list[Run]], methods: Sequence[Method], problem: PruningProblem
) -> dict[str, Any]:
    """Medians and quartiles over the seeds, also on a scale from the best known to uniform."""
    uniform = problem.loss(problem.surface.uniform())
    chosen = [run.chosen for each in runs.values() for run in each]
    best = min([best_known(problem), *chosen], key=lambda plan: plan.loss)
    rows = []
    for number, method in enumerate(methods):
        losses = np.array([run.chosen.loss for run in runs[number]])
        quartiles = np.quantile(losses, [0.25, 0.5, 0.75])
        rows.append({
            "method": method.name,
            "evaluations": method.evaluations,
            "trained": float(np.mean([run.trained for run in runs[number]])),
            "within_budget": float(np.mean([run.within for run in runs[number]])),
            "quartiles": quartiles.tolist(),
            "relative": ((quartiles - best.loss) / (uniform - best.loss)).tolist(),
            "losses": losses.tolist(),
            "parameters": [run.chosen.parameters for run in runs[number]],
            "rates": [run.chosen.rates for run in runs[number]],
            "seconds": float(np.mean([run.seconds for run in runs[number]])),
            "curves": [run.curve for run in runs[number]],
        })  # fmt: skip
    return {"uniform": uniform, "best_known": best._asdict(), "rows": rows}


def markdown(results: dict[str, Any]) -> str:
    """The table, and what it rests on."""
    head = ["method", "evaluations", "of them trained", "median loss", "quartiles",
            "median, 0 = best known, 1 = uniform", "quartiles", "s per search"]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in results["rows"]:
        low, median, high = row["quartiles"]
        cells = [
            row["method"], f"{row['evaluations']:,}", f"{row['trained']:.0f}",
            f"{median:.4f}", f"{low:.4f} to {high:.4f}",
            f"{row['relative'][1]:.2f}", f"{row['relative'][0]:.2f} to {row['relative'][2]:.2f}",
            f"{row['seconds']:.1f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    told = results["table"]
    ours, published = results["rows"][0], _row(results, "B-FPGM", 250)
    reached = sum(loss <= published["quartiles"][1] for loss in ours["losses"])
    lines += [
        "",
        f"{told['trials']} real trials of {told['plans']} plans, losses from {told['lowest']:.4f} "
        f"to {told['highest']:.4f}; deviation of repeated trials {told['deviation']:.4f}, error of "
        f"the stand-in ({told['stand_in']}) on trials of plans left out {told['error']:.4f} (R² "
        f"{told['explained']:.3f}).",
        f"Uniform plan {results['uniform']:.4f}, best known {results['best_known']['loss']:.4f}; "
        f"{results['seeds']} seeds.",
        f"Ours with {ours['evaluations']} is at or below the median of B-FPGM with 250 for "
        f"{reached} of {results['seeds']} seeds.",
    ]
    return "\n".join(lines) + "\n"


def _row(results: dict[str, Any], name: str, evaluations: int) -> dict[str, Any]:
    rows = results["rows"]
    return next(r for r in rows if (r["method"], r["evaluations"]) == (name, evaluations))


def draw(results: dict[str, Any], file: Path) -> None:
    """Loss of what a method would return, by the evaluations it had; bands: quartiles."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    # Okabe and Ito, Color Universal Design (2008).
    colors = ["#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#999999", "#000000"]
    longest = max(row["evaluations"] for row in results["rows"])
    for number, row in enumerate(results["rows"]):
        published = row["method"] == "B-FPGM"
        color = "#D55E00" if published else colors[number % len(colors)]
        curves = np.array(row["curves"])
        low, median, high = np.nanquantile(curves, [0.25, 0.5, 0.75], axis=0)
        steps = np.arange(1, len(median) + 1)
        style = {25: ":", 250: "--"}.get(row["evaluations"], "-") if published else "-"
        label = f"{row['method']}, {row['evaluations']:,}"
        width, order = (2.5, 3) if number == 0 else (1.5, 2)
        axes.step(
            steps, median, where="post", color=color, linestyle=style, label=label,
            linewidth=width, zorder=order,
        )  # fmt: skip
        axes.plot(steps[-1], median[-1], "o", color=color, markersize=4)
        if number == 0 or row["evaluations"] == longest:
            axes.fill_between(steps, low, high, step="post", color=color, alpha=0.15, linewidth=0)
    axes.axhline(results["uniform"], color="0.6", linewidth=1, linestyle="--")
    axes.annotate("uniform rates", (longest, results["uniform"]), ha="right", va="bottom")
    axes.axhline(results["best_known"]["loss"], color="0.6", linewidth=1, linestyle=":")
    axes.annotate("best known", (longest, results["best_known"]["loss"]), ha="right", va="bottom")
    axes.set(xscale="log", xlabel="evaluations", ylabel="loss without noise of the plan returned")
    figure.legend(frameon=False, fontsize=9, loc="outside right upper")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)


def problem_of(table: Table, fit: Fit) -> tuple[PruningProblem, Quality]:
    """The problem that a table stands for, and how well.

    Raises:
        ValueError: the table is of another network, or no plan is repeated.
    """
    if np.isnan(table.deviation):
        raise ValueError(
            "expected some plans more than once in the table, with other seeds, to know the noise; "
            f"got {len(table.plans)} different ones"
        )
    bare = PruningProblem(lambda points: points[:, 0], 0.0)
    rates = [dict(zip(GROUPS, map(float, point), strict=True)) for point in table.points]
    for plan, parameters in zip(rates, table.parameters, strict=True):
        if bare.surface.parameters(plan) != parameters:
            raise ValueError(
                f"expected a table of Nano-B Enhanced, which has {bare.surface.parameters(plan):,} "
                f"parameters at {plan}, got {parameters:,.0f}"
            )
    points = bare.realised(np.array([bare.surface.kept(plan) for plan in rates]))
    problem = PruningProblem(fit(points, table.losses), table.deviation)
    return problem, cross_validated(fit, points, table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--stand-in", choices=sorted(FITS), default="process")
    options = parser.parse_args()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = read_table(options.table, [f"rate_{name}" for name in GROUPS])
    problem, quality = problem_of(table, FITS[options.stand_in])
    runs = {
        number: [run(method, problem, seed) for seed in range(options.seeds)]
        for number, method in enumerate(tqdm(METHODS))
    }
    results = {
        **summary(runs, METHODS, problem),
        "seeds": options.seeds,
        "table": {
            "trials": len(table.losses),
            "plans": len(set(table.plans)),
            "lowest": float(table.losses.min()),
            "highest": float(table.losses.max()),
            "deviation": table.deviation,
            "stand_in": options.stand_in,
            **quality._asdict(),
        },
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    (options.out / "results.md").write_text(markdown(results), encoding="utf-8")
    draw(results, options.out / "curves.png")


if __name__ == "__main__":
    main()
