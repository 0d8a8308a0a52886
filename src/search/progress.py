"""One line per trial as it ends, so that a search can be watched."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from src.search.study import ERROR, Trials, keeps_constraints


class Progress:
    """Lines for the log.

    Args:
        trials: of the search.
    """

    def __init__(self, trials: Trials) -> None:
        self.trials = trials
        self.start = time.monotonic()
        self.done_before = len(trials.finished())

    def line(self, number: int) -> str:
        """What is to be said of a trial that has just ended."""
        study = self.trials.study
        trial = next(t for t in study.get_trials(deepcopy=False) if t.number == number)
        done = len(self.trials.finished())
        parts = [f"trial {number} ({done} of {self.trials.n_trials}): {_outcome(trial)}"]
        if best := best_so_far(study):
            parts.append(f"best {shown(best.values)} (trial {best.number})")
        if "parameters" in trial.user_attrs:
            parts.append(f"{trial.user_attrs['parameters']:,} parameters")
        parts.append(settings(trial.params))
        if left := self._left(done):
            parts.append(left)
        return ", ".join(parts)

    def _left(self, done: int) -> str:
        finished = done - self.done_before
        missing = self.trials.n_trials - done
        if finished < 1 or missing < 1:
            return ""
        seconds = (time.monotonic() - self.start) / finished * missing
        return f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"


def best_so_far(study: Study) -> FrozenTrial | None:
    """The finished trial of the best value; None of several objectives, or where there is none."""
    if len(study.directions) > 1:
        return None
    done = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
    done = [t for t in done if keeps_constraints(t)]
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    return min(done, key=lambda t: sign * t.values[0], default=None)


def shown(values: Sequence[float]) -> str:
    """Objectives as text."""
    return " ".join(f"{value:.5g}" for value in values)


def settings(params: Mapping[str, Any]) -> str:
    """Settings by the last part of their names."""
    texts = {n: f"{v:.3g}" if isinstance(v, float) else str(v) for n, v in params.items()}
    return " ".join(f"{name.rpartition('.')[2]} {text}" for name, text in texts.items())


def _outcome(trial: FrozenTrial) -> str:
    if trial.state == TrialState.FAIL:
        return f"failed: {trial.user_attrs.get(ERROR)}"
    if trial.state == TrialState.PRUNED:
        return "given up"
    return shown(trial.values)
