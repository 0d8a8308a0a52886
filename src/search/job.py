"""A job of a search: a task that leaves its result where a killed search finds it again."""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from optuna.trial import Trial

from src.cli.targets import instantiate
from src.runs.files import write_json
from src.search.storage import open_storage

RESULT = "objective.json"
"""Name of the result in the folder of a trial."""


class Result(NamedTuple):
    """What came of a trial."""

    values: list[float]
    """One per objective; none where the trial was given up."""
    attributes: dict[str, Any]
    """Plain values for the study."""
    constraints: dict[str, float]
    """At most 0 where they are kept."""
    given_up: bool
    """Whether the trial was stopped as hopeless (``TrialState.PRUNED``): pruning is of networks."""


def read_result(returned: Any) -> Result:
    """Read what a task returned.

    A number, one per objective, or a mapping with such an ``objective`` and, as needed,
    ``attributes``, ``constraints`` and ``given_up`` (``pruned`` in older files).

    Raises:
        ValueError: anything else.
    """
    content: Mapping[str, Any] = (
        returned if isinstance(returned, Mapping) else {"objective": returned}
    )
    objective = content.get("objective")
    values: Sequence[Any] = objective if isinstance(objective, Sequence) else [objective]
    given_up = bool(content.get("given_up", content.get("pruned", False)))
    if given_up:
        values = []
    for value in values:
        if not isinstance(value, numbers.Real):
            raise ValueError(
                "expected a number or a list of them as the objective of a trial, got "
                f"{objective!r}"
            )
        if not math.isfinite(value):
            raise ValueError(f"expected a finite objective of a trial, got {objective}")
    return Result(
        [float(v) for v in values],
        dict(content.get("attributes", {})),
        {name: float(v) for name, v in content.get("constraints", {}).items()},
        given_up,
    )


class Watcher:
    """What a job under way tells its study."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial

    def report(self, value: float, step: int) -> bool:
        """Note the objective at a step; whether the trial is hopeless and should end."""
        self.trial.report(value, step)
        return self.trial.should_prune()


_current: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


def watcher() -> Watcher | None:
    """Whom the present job may tell how it goes; None outside a search, or where none listens."""
    return _current.get()


@dataclass(frozen=True)
class Job:
    """The task of a search; can be sent to other processes.

    Args:
        task: of the command.
        storage, folder: see :func:`src.search.storage.open_storage`.
        study_name: name of the study.
        pruner: settings of an ``optuna.pruners`` class with ``_target_``; None: no trial is given
            up.
    """

    task: Callable[[DictConfig], Any]
    _: KW_ONLY
    storage: str | None
    folder: Path
    study_name: str
    pruner: Mapping[str, Any] | None

    def __call__(self, config: DictConfig) -> Any:
        file = Path(HydraConfig.get().runtime.output_dir) / RESULT
        if file.exists():  # a killed search had not read it yet
            return json.loads(file.read_text())
        token = _current.set(self._watcher(HydraConfig.get().job.num))
        try:
            returned = self.task(config)
        finally:
            _current.reset(token)
        result = read_result(returned)
        write_json(file, {"objective": result.values, **result._asdict()})
        return returned

    def _watcher(self, number: int) -> Watcher | None:
        if self.pruner is None:
            return None
        study = optuna.load_study(
            study_name=self.study_name,
            storage=open_storage(self.storage, self.folder),
            pruner=instantiate(self.pruner),
        )
        found = next(t for t in study.get_trials(deepcopy=False) if t.number == number)
        return Watcher(Trial(study, found._trial_id))
