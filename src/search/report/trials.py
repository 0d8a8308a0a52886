"""The trials of a search, as its report shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from src.search.choice import Choice, worst
from src.search.study import CACHED, WITHDRAWN

COSTS = {"parameters": "parameters", "multiply_adds": "multiply-adds"}
"""User attributes that say what a network costs, and their names."""


@dataclass(frozen=True)
class SearchRecord:
    """What the pictures and the tables of one report are made of."""

    name: str
    trials: Sequence[FrozenTrial]
    """All that were begun, without those that another process had made unnecessary."""
    front: Sequence[FrozenTrial]
    """The Pareto front: trials that no other beats in all objectives; empty with one objective."""
    distributions: Mapping[str, BaseDistribution]
    directions: Sequence[StudyDirection]
    objectives: Sequence[str]
    """Their names."""
    chosen: Choice | None
    probe_name: str

    @cached_property
    def measured(self) -> list[FrozenTrial]:
        """Complete trials with finite values, those answered from the cache among them."""
        return [
            trial for trial in self.trials
            if trial.state == TrialState.COMPLETE and np.isfinite(trial.values).all()
        ]  # fmt: skip

    def ended(self, state: TrialState) -> list[FrozenTrial]:
        return [trial for trial in self.trials if trial.state == state]

    @cached_property
    def probe(self) -> FrozenTrial | None:
        """The first trial of the design, if it was measured."""
        found = [t for t in self.measured if t.user_attrs.get("design") == "probe"]
        return found[0] if found else None

    @property
    def luckiest(self) -> FrozenTrial | None:
        """The measured trial of the best first value."""
        return min(self.measured, key=lambda t: self.loss(t, 0)) if self.measured else None

    @cached_property
    def costs(self) -> list[str]:
        """The costs that some trial knows, and that are no objective."""
        return [
            cost for cost, name in COSTS.items()
            if not {cost, name} & set(self.objectives)
            and any(cost in trial.user_attrs for trial in self.measured)
        ]  # fmt: skip

    def sign(self, objective: int) -> int:
        """1 where less is better, -1 where more is."""
        return -1 if self.directions[objective] == StudyDirection.MAXIMIZE else 1

    def loss(self, trial: FrozenTrial, objective: int) -> float:
        return self.sign(objective) * trial.values[objective]

    def limit(self, objective: int) -> float:
        """The worst value that a picture needs to show: those of diverged trials are beyond it."""
        losses = np.array([self.loss(trial, objective) for trial in self.measured])
        return self.sign(objective) * worst(losses)

    def label(self, name: str) -> str:
        """A setting's name without its groups, where that tells it from the others."""
        last = [each.rpartition(".")[2] for each in self.distributions]
        own = name.rpartition(".")[2]
        return own if last.count(own) == 1 else name


def read_search(
    study: Study,
    distributions: Mapping[str, BaseDistribution],
    objectives: Sequence[str],
    *,
    chosen: Choice | None,
    probe_name: str,
) -> SearchRecord:
    """The trials of ``study`` in the order of their numbers."""
    trials = [t for t in study.get_trials(deepcopy=False) if WITHDRAWN not in t.user_attrs]
    several = len(study.directions) > 1
    front = [t for t in study.best_trials if np.isfinite(t.values).all()] if several else []
    return SearchRecord(
        name=study.study_name,
        trials=sorted(trials, key=lambda trial: trial.number),
        front=sorted(front, key=lambda trial: trial.values[0]),
        distributions=distributions,
        directions=study.directions,
        objectives=objectives,
        chosen=None if several else chosen,
        probe_name=probe_name,
    )


def number(value: Any) -> str:
    """A value as people read it: whole numbers in thousands, others with four digits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if np.isfinite(value) and (isinstance(value, int) or abs(value) >= 1e4):
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.3e}"
    return f"{value:.4g}"


def seconds_of(trial: FrozenTrial) -> float | None:
    """How long a trial took; None for an answer from the cache, and where nobody knows."""
    if CACHED in trial.user_attrs:
        return None
    known = trial.user_attrs.get("seconds")
    if known is None and trial.duration is not None:
        return trial.duration.total_seconds()
    return known


def duration(seconds: float) -> str:
    """Seconds as hours and minutes, as far as they matter."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
