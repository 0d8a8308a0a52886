"""Settings beside a base: spreads, differences, and what must be known to believe them."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from src.comparison.grouping import Grouping, Setting, short, shown, typed_key
from src.comparison.intervals import Difference, Spread, difference, spread
from src.comparison.teachers import OPTION as TEACHER
from src.comparison.teachers import count_teachers
from src.report.charts import SIZE_LABELS
from src.runs.nested import is_below
from src.runs.read import METRICS, LeftOut, Run

_MEASURE = (
    "data.root", "data.val_", "data.num_val_images", "data.ground_truth", "data.generator",
    "decoder", "views",
)  # fmt: skip
"""Beginnings of what decides how AP is measured, and on which images."""

_WIRING = ("module", "objective")
"""What options put in place, not what people set."""

_LISTED = 8
"""Differing values that a note lists, and settings that an error lists; ``comparison.json`` has
all."""


@dataclass(frozen=True)
class Row:
    """One setting; average precisions and differences by level, as fractions of 1."""

    setting: Setting
    ap: Mapping[str, Spread]
    size_ap: Mapping[str, Spread]
    """Size of faces -> AP; empty where a run does not know it."""
    difference: Mapping[str, Difference]
    """From the base; empty for the base itself."""
    teacher_ap: Mapping[str, float]
    """Mean over the seeds; empty without a teacher."""
    parameters: Sequence[int]
    """Parameters of the network; several numbers where the runs disagree."""


@dataclass(frozen=True)
class Comparison:
    """All that the table, the picture and ``comparison.json`` show."""

    rows: Sequence[Row]
    base: Setting
    left_out: Sequence[LeftOut]
    notes: Sequence[str]
    """What could mislead."""
    conditions: Mapping[str, str]
    """What was run: command, revision, versions, seeds, data, images, steps."""
    differences: Mapping[str, Sequence[str]]

    def content(self) -> dict[str, Any]:
        """Everything, of JSON's types."""
        return {
            "base": self.base.name,
            "conditions": self.conditions,
            "notes": self.notes,
            "settings": [_content(row) for row in self.rows],
            "differing_values": self.differences,
            "left_out": [{"folder": str(f), "reason": reason} for f, reason in self.left_out],
        }


def compare_settings(
    grouping: Grouping, *, base: Any = None, left_out: Sequence[LeftOut] = ()
) -> Comparison:
    """Compare the settings with one of them.

    Args:
        grouping: the runs.
        base: values or ``option=value`` of the setting the others are compared with, separated by
            spaces; None for the first.
        left_out: runs that could not be read.

    Raises:
        ValueError: ``base`` is no setting, or more than one.
    """
    chosen = find_setting(grouping.settings, base)
    return Comparison(
        rows=[_row(setting, chosen) for setting in grouping.settings],
        base=chosen,
        left_out=[*left_out, *grouping.repeated],
        notes=list(_notes(grouping)),
        conditions=_conditions(grouping.settings),
        differences=grouping.differences,
    )


def find_setting(settings: Sequence[Setting], wanted: Any) -> Setting:
    """The setting that ``wanted`` describes: its name, some of its options, or their values."""
    if wanted is None:
        return settings[0]
    words = set(shown(wanted).split())
    known = [
        {setting.name, *setting.parts.values(), *(f"{k}={v}" for k, v in setting.parts.items())}
        for setting in settings
    ]
    named = [setting for setting in settings if setting.name == shown(wanted)]
    found = named or [s for s, names in zip(settings, known, strict=True) if words <= names]
    if len(found) == 1:
        return found[0]
    listed = _cut([f"'{setting.name}'" for setting in found or settings])
    which = "fits several of them" if found else "fits none of them"
    raise ValueError(
        f"expected base to be one of the settings {listed}, got '{shown(wanted)}', which "
        f"{which}; set base= to the value of an option, or to 'option=value' in quotes"
    )


def _row(setting: Setting, base: Setting) -> Row:
    by_seed = {
        level: [{run.seed: run.ap[level] for run in each.runs} for each in (setting, base)]
        for level in METRICS
    }
    teachers = [run.teacher_ap for run in setting.runs if run.teacher_ap]
    counts = {run.provenance.get("parameters") for run in setting.runs}
    return Row(
        setting=setting,
        ap={level: spread(list(own.values())) for level, (own, _) in by_seed.items()},
        size_ap={
            size: spread([run.size_ap[size] for run in setting.runs])
            for size in SIZE_LABELS
            if all(size in run.size_ap for run in setting.runs)
        },
        difference={}
        if setting is base
        else {level: difference(own, other) for level, (own, other) in by_seed.items()},
        teacher_ap={
            level: spread([teacher[level] for teacher in teachers]).mean
            for level in METRICS
            if teachers and all(level in teacher for teacher in teachers)
        },
        parameters=sorted(count for count in counts if isinstance(count, int)),
    )


def _conditions(settings: Sequence[Setting]) -> dict[str, str]:
    runs = [run for setting in settings for run in setting.runs]
    every = [
        override for override in runs[0].overrides
        if all(override in run.overrides for run in runs) and typed_key(override) != "resume"
    ]  # fmt: skip
    entries = {re.sub(r"^(python -m \S+).*$", r"\1", _text(run, "command")) for run in runs}
    seeds = {tuple(setting.seeds) for setting in settings}
    return {
        "command": f"{' or '.join(sorted(entries))} {shlex.join(every)}".strip(),
        "revision": _distinct(_text(run, "revision") for run in runs),
        "versions": _distinct(_versions(run) for run in runs),
        "seeds": ", ".join(map(str, seeds.pop())) if len(seeds) == 1 else "see the settings",
        "data": _distinct(_data_name(run) for run in runs),
        "images": _distinct("unknown" if run.images is None else str(run.images) for run in runs),
        "steps": _distinct("unknown" if run.steps is None else str(run.steps) for run in runs),
    }


def _notes(grouping: Grouping) -> Any:
    runs = [run for setting in grouping.settings for run in setting.runs]
    revisions = Counter(_text(run, "revision") for run in runs)
    if len(revisions) > 1:
        listed = ", ".join(f"{name} ({count} runs)" for name, count in revisions.items())
        yield f"the runs are of different revisions: {listed}"
    for name in revisions:
        if name.endswith("-dirty"):
            yield f"files differed from revision {name.removesuffix('-dirty')} when it ran"
    if len({_versions(run) for run in runs}) > 1:
        yield f"the runs used different libraries: {_distinct(_versions(run) for run in runs)}"
    if len({run.steps for run in runs}) > 1:
        yield f"the runs took different numbers of steps: {_distinct(str(r.steps) for r in runs)}"
    typed = {key for setting in grouping.settings for key in setting.parts}
    typed -= set(grouping.untyped)
    teachers = count_teachers(runs)
    mixed = any(len(count_teachers(setting.runs)) > 1 for setting in grouping.settings)
    if len(teachers) > 1 and (mixed or TEACHER not in typed):
        listed = ", ".join(f"{name} ({count} runs)" for name, count in teachers.items())
        yield f"the students had different teachers: {listed}"
    measured = [key for key in grouping.differences if key.startswith(_MEASURE)]
    if measured:
        yield f"the settings are not measured alike: {_listed(grouping, measured)}"
    if grouping.untyped:
        yield (
            "settings typed alike are configured differently, as after a change of the "
            f"configuration files: {_listed(grouping, grouping.untyped)}"
        )
    other = [
        key for key in grouping.differences
        if key not in {*measured, *grouping.untyped} and not is_below(key, (*typed, *_WIRING))
    ]  # fmt: skip
    if other:
        yield f"what was chosen changes more than its name says: {_listed(grouping, other)}"
    if len({tuple(setting.seeds) for setting in grouping.settings}) > 1:
        yield "the settings were not run with the same seeds: such differences are not paired"


def _listed(grouping: Grouping, keys: Sequence[str]) -> str:
    listed = [
        f"{key} ({_distinct(text[:40] for text in grouping.differences[key])})" for key in keys
    ]
    return _cut(listed)


def _cut(texts: Sequence[str]) -> str:
    more = [f"and {len(texts) - _LISTED} more"] if len(texts) > _LISTED else []
    return ", ".join([*texts[:_LISTED], *more])


def _distinct(texts: Any) -> str:
    return ", ".join(dict.fromkeys(texts))


def _text(run: Run, name: str) -> str:
    return str(run.provenance.get(name, "unknown"))


def _versions(run: Run) -> str:
    return " ".join(f"{name} {text}" for name, text in run.provenance.get("versions", {}).items())


def _data_name(run: Run) -> str:
    root = (run.config.get("data") or {}).get("root")
    return "unknown" if root is None else str(root).rstrip("/").rpartition("/")[2]


def _content(row: Row) -> dict[str, Any]:
    return {
        "setting": row.setting.name,
        "options": row.setting.parts,
        "parameters": row.parameters,
        "ap": {level: each._asdict() for level, each in row.ap.items()},
        "size_ap": {size: each._asdict() for size, each in row.size_ap.items()},
        "difference": {level: each._asdict() for level, each in row.difference.items()},
        "teacher_ap": row.teacher_ap,
        "runs": [
            {
                "folder": str(run.folder),
                "name": short(run.folder),
                "seed": run.seed,
                "ap": run.ap,
                "steps": run.steps,
                "revision": _text(run, "revision"),
                "command": _text(run, "command"),
                "curve": [list(point) for point in run.curve],
            }
            for run in row.setting.runs
        ],
    }
