"""The study behind a search: what it was started with, which trials are due, what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from src.runs.locks import alone_in
from src.search.coordinates import Distributions
from src.search.job import Result
from src.search.leases import LEASE, Leases
from src.search.sampling import Feasible, SearchSampler
from src.search.storage import open_storage

CACHED = "cached_from"
"""User attribute of a trial that was answered with the result of an equal one: its number."""

ERROR = "error"
"""User attribute of a failed trial: why."""

WITHDRAWN = "withdrawn"
"""User attribute of a trial that another process had made unnecessary before it began."""

FIXED = "fixed_params"
"""System attribute of a trial whose point is given, as Optuna's ``enqueue_trial`` writes it."""

REPEATS = 20
"""Proposals in a row that are known already, after which the space counts as exhausted."""

_SETTINGS = "settings"
_SHOWN = 4


def open_study(
    name: str,
    *,
    storage: str | None,
    folder: Path,
    directions: Sequence[Any],
    sampler: SearchSampler,
    settings: Mapping[str, str],
) -> Study:
    """Open the study ``name``, or begin it.

    Args:
        name: of the study.
        storage, folder: see :func:`src.search.storage.open_storage`.
        directions: of each objective, ``minimize`` or ``maximize``.
        sampler: what is tried next.
        settings: what must not change between the processes that take part.

    Raises:
        ValueError: the study was begun with other settings.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=name, storage=open_storage(storage, folder), directions=directions,
        sampler=sampler, load_if_exists=True,
    )  # fmt: skip
    with alone_in(folder):  # of several that begin it at once, one decides
        _agree(study, {"directions": ", ".join(directions), **settings})
    return study


def _agree(study: Study, ours: Mapping[str, str]) -> None:
    """Begin a study with these settings, or refuse it if it was begun with others."""
    begun = bool(study.get_trials(deepcopy=False))  # before the settings, which precede any trial
    known = study.user_attrs.get(_SETTINGS)
    if known is None:
        if begun:
            raise ValueError(
                f"expected a new study or one of this command, got {study.study_name!r} with "
                "trials of another program; choose another name"
            )
        study.set_user_attr(_SETTINGS, dict(ours))
        known = study.user_attrs[_SETTINGS]  # in a database, processes elsewhere do not wait
    if known != ours:
        keys = [k for k in {**known, **ours} if known.get(k) != ours.get(k)]
        differences = "; ".join(f"{k}: {known.get(k)}, now {ours.get(k)}" for k in keys[:_SHOWN])
        more = f"; and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        raise ValueError(
            f"expected the settings with which study {study.study_name!r} was begun, got others "
            f"({differences}{more}); choose another name for another search"
        )


@dataclass
class Trials:
    """The trials of a study that several processes work on.

    Args:
        study: of the trials.
        distributions: the search space.
        n_trials: finished ones that are wanted.
        max_failures: failed ones that are put up with.
        leases: whose trial is whose.
        feasible: which points may be tried; None: all.

    Attributes:
        exhausted: whether there are no more points than those that were tried.
    """

    study: Study
    distributions: Distributions
    _: KW_ONLY
    n_trials: int
    max_failures: int
    leases: Leases
    feasible: Feasible | None
    exhausted: bool = field(default=False, init=False)

    def next(self, count: int) -> list[Trial]:
        """Up to ``count`` trials that this process is to run; those of dead processes first.

        Raises:
            ValueError: too many have failed.
        """
        self.check_failures()
        chosen: list[Trial] = []
        answered = 0
        for trial in self._in(TrialState.RUNNING):
            if len(chosen) == count:
                break
            taken = self.leases.dead(trial) and self.leases.take_over(trial)
            if taken and not self._withdrawn(trial):
                chosen.append(self._propose(trial))
        while len(chosen) < count and self._due():
            begun = self._begin()
            if begun is None:
                break
            if not self._answered(begun):
                chosen.append(begun)
                answered = 0
            else:
                answered += 1
                self.exhausted = answered > REPEATS
        return chosen

    def others_at_work(self) -> bool:
        """Whether trials are under way elsewhere, whose end this process has to await."""
        return any(LEASE in trial.user_attrs for trial in self._in(TrialState.RUNNING))

    def finished(self) -> list[FrozenTrial]:
        """Trials that count towards ``n_trials``."""
        return [t for t in self._in(TrialState.COMPLETE, TrialState.PRUNED) if _counts(t)]

    def failed(self) -> list[FrozenTrial]:
        """Trials that were begun and failed."""
        return [t for t in self._in(TrialState.FAIL) if _counts(t)]

    def check_failures(self) -> None:
        """Raises ValueError if more have failed than are put up with."""
        failed = self.failed()
        if len(failed) > self.max_failures:
            last = failed[-1]
            raise ValueError(
                f"expected at most {self.max_failures} failed trials, got {len(failed)}, the last "
                f"(trial {last.number}) by: {last.user_attrs.get(ERROR)}; mend it and repeat the "
                "command, with hydra.sweeper.max_failures raised by as many"
            )

    def tell(self, trial: Trial, result: Result | str) -> bool:
        """Record what came of a trial, or why it failed; False if another process was faster."""
        wanted = len(self.study.directions)
        if isinstance(result, Result) and not result.given_up and len(result.values) != wanted:
            result = (
                f"expected {wanted} objectives, one per direction, got {len(result.values)}; set "
                "hydra.sweeper.direction"
            )
        try:
            if isinstance(result, str):
                trial.set_user_attr(ERROR, result)
                self.study.tell(trial, state=TrialState.FAIL)
                return True
            for name, value in result.attributes.items():
                trial.set_user_attr(name, value)
            for name, value in result.constraints.items():
                trial.set_constraint(name, value)
            if result.given_up:
                self.study.tell(trial, state=TrialState.PRUNED)
            else:
                self.study.tell(trial, result.values)
            return True
        except (UpdateFinishedTrialError, ValueError):  # the latter from Study.tell
            if not self.study._storage.get_trial(trial._trial_id).state.is_finished():
                raise
            return False

    def _due(self) -> bool:
        running = [t for t in self._in(TrialState.RUNNING) if LEASE in t.user_attrs]
        return not self.exhausted and len(self.finished()) + len(running) < self.n_trials

    def _begin(self) -> Trial | None:
        """A new trial with the next point; None where others have begun the last one just now."""
        frozen = create_trial(state=TrialState.RUNNING, user_attrs={LEASE: self.leases.mine()})
        storage = self.study._storage
        trial_id = storage.create_new_trial(self.study._study_id, template_trial=frozen)
        trial = storage.get_trial(trial_id)
        return None if self._withdrawn(trial) else self._propose(trial)

    def _withdrawn(self, trial: FrozenTrial) -> bool:
        """Whether those begun before a trial are enough; then it ends."""
        before = [t for t in self.study.get_trials(deepcopy=False) if t.number < trial.number]
        if len([t for t in before if t.state != TrialState.FAIL and _counts(t)]) < self.n_trials:
            return False
        storage = self.study._storage
        storage.set_trial_user_attr(trial._trial_id, WITHDRAWN, True)
        storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
        return True

    def _propose(self, frozen: FrozenTrial) -> Trial:
        """The trial with its point, which is stored whole before any part of it is."""
        if FIXED not in frozen.system_attrs:
            point = Trial(self.study, frozen._trial_id).relative_params
            self.study._storage.set_trial_system_attr(frozen._trial_id, FIXED, point)
        trial = Trial(self.study, frozen._trial_id)
        for name, distribution in self.distributions.items():
            trial._suggest(name, distribution)
        sampler = self.study.sampler
        assert isinstance(sampler, SearchSampler)
        if (design := sampler.design_of(trial.number)) is not None:
            trial.set_user_attr("design", design)
        if self.feasible is not None:
            for name, value in self.feasible.facts(trial.params).items():
                trial.set_user_attr(name, value)
        return trial

    def _answered(self, trial: Trial) -> bool:
        """Whether an equal trial's result was recorded for this one."""
        if self.feasible is None:
            return False
        key = self.feasible.key(trial.params)
        for other in self._in(TrialState.COMPLETE):
            if self.feasible.key(other.params) == key:
                kept = (LEASE, "design", *trial.user_attrs)
                attributes = {k: v for k, v in other.user_attrs.items() if k not in kept}
                attributes[CACHED] = other.number
                return self.tell(
                    trial, Result(list(other.values), attributes, dict(other.constraints), False)
                )
        return False

    def _in(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)


def keeps_constraints(trial: FrozenTrial) -> bool:
    """Whether none of a trial's constraints is above 0."""
    return all(value <= 0 for value in trial.constraints.values())


def _counts(trial: FrozenTrial) -> bool:
    return CACHED not in trial.user_attrs and WITHDRAWN not in trial.user_attrs
