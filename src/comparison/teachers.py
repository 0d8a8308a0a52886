"""Which teacher the students of a comparison had: told by its weights, not by its path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from src.runs.read import Run

OPTION = "kd.teacher"


def name_teachers(runs: Sequence[Run]) -> list[Run]:
    """The runs, with one name for the same teacher in ``kd.teacher`` of their configurations.

    Paths of the same weights become the first of them, and a teacher that was found without being
    named becomes its path. What stood for several teachers, such as null, stays as written.
    A run without a teacher gets the name that the others share, and none if they share none: what
    it does not use does not tell it apart.
    """
    names = _names(runs)
    meanings: dict[str, set[str]] = {}
    for run in runs:
        if weights := _weights(run):
            meanings.setdefault(str(_option(run.written)), set()).add(weights)
    named = [
        _with_teacher(run, {"teacher": names[weights]})
        if (weights := _weights(run)) and len(meanings[str(_option(run.written))]) == 1
        else run
        for run in runs
    ]
    used = [_option(run.written) for run in named if _learns(run)]
    shared = len(set(map(str, used))) == 1
    unused = {"teacher": used[0]} if shared else {}
    return [run if _learns(run) else _with_teacher(run, unused) for run in named]


def count_teachers(runs: Sequence[Run]) -> dict[str, int]:
    """Name of each teacher -> number of runs that had it, of the runs that recorded theirs."""
    names = _names(runs)
    return dict(Counter(names[_weights(run)] for run in runs if _weights(run)))


def _names(runs: Sequence[Run]) -> dict[str, str]:
    """Fingerprint of weights -> the first path given for them, made unique."""
    names: dict[str, str] = {}
    for run in runs:
        weights = _weights(run)
        if weights and weights not in names:
            path = str(_option(run.config) or run.provenance["teacher"].get("path", "unknown"))
            # The file was overwritten between two runs.
            names[weights] = f"{path} {weights[:8]}" if path in names.values() else path
    return names


def _weights(run: Run) -> str:
    """Fingerprint of the teacher's weights; empty where none is recorded."""
    teacher = run.provenance.get("teacher")
    return str(teacher.get("sha256", "")) if isinstance(teacher, Mapping) else ""


def _learns(run: Run) -> bool:
    """Whether a run has a teacher, as far as it tells."""
    return bool(_weights(run)) or run.choices.get("kd") != "none"


def _option(config: Mapping[str, Any]) -> Any:
    kd = config.get("kd")
    return kd.get("teacher") if isinstance(kd, Mapping) else None


def _with_teacher(run: Run, setting: Mapping[str, Any]) -> Run:
    return replace(run, config=_set(run.config, setting), written=_set(run.written, setting))


def _set(config: Mapping[str, Any], setting: Mapping[str, Any]) -> Mapping[str, Any]:
    kd = config.get("kd")
    if not isinstance(kd, Mapping):
        return config
    return {**config, "kd": {**{k: v for k, v in kd.items() if k != "teacher"}, **setting}}
