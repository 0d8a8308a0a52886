"""Which runs are the same setting under other seeds, and what to call each setting.

Runs are told apart by their composed configuration, not by what was typed: a default typed out is
still the default. They are named by what was typed, where that differs: ``kd=weighted``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.comparison.teachers import name_teachers
from src.runs.nested import flatten, is_below
from src.runs.read import LeftOut, Run

NO_SETTING = (
    "seed", "run", "run_dir", "group", "resume", "num_pictures", "logger", "data.num_workers",
    "trainer.log_every_n_steps",
)  # fmt: skip
"""Settings, with all below them, that do not tell runs apart."""

_ABSENT = "(absent)"
_TABLE = "(a table)"


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seed alone, in the order of their seeds."""

    name: str
    parts: Mapping[str, str]
    """Typed option -> value, of those that differ between the settings."""
    runs: Sequence[Run]

    @property
    def seeds(self) -> list[int | None]:
        return [run.seed for run in self.runs]


@dataclass(frozen=True)
class Grouping:
    """The settings in the order of their first runs."""

    settings: Sequence[Setting]
    differences: Mapping[str, Sequence[str]]
    """Configured value -> what it is in each setting, of all values that differ."""
    untyped: Sequence[str]
    """Those of them without which two settings would have the same name."""
    repeated: Sequence[LeftOut]
    """Runs of a setting and seed of which there is a newer one."""


def group_runs(runs: Sequence[Run]) -> Grouping:
    """Put the runs of each setting together. Of two with the same seed the newer one stays."""
    runs = name_teachers(runs)
    values = _differences(runs)
    groups: dict[tuple[str, ...], dict[int | None, Run]] = {}
    repeated: list[LeftOut] = []
    for number, run in enumerate(runs):
        group = groups.setdefault(tuple(each[number] for each in values.values()), {})
        other = group.get(run.seed)
        if other is not None:
            older, run = sorted((other, run), key=lambda r: r.finished)
            same = f"same setting and seed as {short(run.folder)}, which is newer"
            repeated.append(LeftOut(older.folder, same))
        group[run.seed] = run
    differences = {
        key: [identity[index] for identity in groups] for index, key in enumerate(values)
    }
    members = [sorted(group.values(), key=_by_seed) for group in groups.values()]
    parts = _typed_parts([group[0] for group in members])
    untyped = _name_apart(parts, differences)
    settings = [
        Setting(" ".join(f"{k}={v}" for k, v in named.items()) or "all runs", named, group)
        for named, group in zip(parts, members, strict=True)
    ]
    return Grouping(settings, differences, untyped, repeated)


def short(folder: Path) -> str:
    """Name of a run folder that tells it from those of other multiruns."""
    return "/".join(folder.parts[-2:])


def shown(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    return json.dumps(value)


def _differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Every configured value that is not the same in all runs, with its text in each."""
    written = [flatten(run.written) for run in runs]
    tables = [{key[:dot] for key in flat for dot in _dots(key)} for flat in written]
    found = {}
    for key in dict.fromkeys(key for flat in written for key in flat):
        if is_below(key, NO_SETTING):
            continue
        texts = [
            shown(flat[key]) if key in flat else _TABLE if key in table else _ABSENT
            for flat, table in zip(written, tables, strict=True)
        ]
        if len(set(texts)) == 1:  # the same, or following other values in the same way
            continue
        values = [
            text if text == _TABLE else shown(_value(run, key))
            for run, text in zip(runs, texts, strict=True)
        ]
        if len(set(values)) == 1:  # typed out in one run, followed in another
            continue
        meanings: dict[str, set[str]] = {}
        for text, value in zip(texts, values, strict=True):
            meanings.setdefault(text, set()).add(value)
        # What follows a table, the seed or the run folder is described by what it follows.
        found[key] = [
            text if "${" in text and (value[0] in "{[" or len(meanings[text]) > 1) else value
            for text, value in zip(texts, values, strict=True)
        ]
    return found


def _dots(key: str) -> list[int]:
    return [place for place, letter in enumerate(key) if letter == "."]


def _value(run: Run, key: str) -> Any:
    node: Any = run.config
    for name in key.split("."):
        if not isinstance(node, dict) or name not in node:
            return _ABSENT
        node = node[name]
    # The same data lie elsewhere on another machine.
    return Path(node).name if key == "data.root" and isinstance(node, str) else node


def _by_seed(run: Run) -> tuple[bool, int]:
    return run.seed is not None, run.seed or 0


def typed_key(override: str) -> str:
    """The option that an override sets."""
    return override.partition("=")[0].lstrip("+~")


def _typed_parts(firsts: Sequence[Run]) -> list[dict[str, str]]:
    """Options typed for any setting whose values differ, for each setting."""
    parts: list[dict[str, str]] = [{} for _ in firsts]
    for key in dict.fromkeys(typed_key(override) for run in firsts for override in run.overrides):
        if is_below(key, NO_SETTING):
            continue
        values = [
            shown(run.choices[key] if key in run.choices else _value(run, key)) for run in firsts
        ]
        for named, value in zip(parts, values, strict=True):
            if len(set(values)) > 1 and value != _ABSENT:
                named[key] = value
    return parts


def _name_apart(
    parts: Sequence[dict[str, str]], differences: Mapping[str, Sequence[str]]
) -> list[str]:
    """Add to ``parts``, until all differ, the shortest values that tell them apart."""
    added = []
    for key in sorted(differences, key=lambda key: (key.count("."), len(key))):
        now = [tuple(named.items()) for named in parts]
        if len(set(now)) == len(parts):
            break
        more = [(*items, value) for items, value in zip(now, differences[key], strict=True)]
        if len(set(more)) > len(set(now)):
            added.append(key)
            for named, value in zip(parts, differences[key], strict=True):
                named[key] = value
    return added
