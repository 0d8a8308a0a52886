"""The stages of a pipeline, read from its configuration and checked before the first one runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from src.cli.foreign import check_stage_setting

_REFERENCE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One command of a pipeline.

    Attributes:
        name: of the stage and of its folder.
        command: ``train`` for ``python -m src.train``.
        options: setting -> value; ``{NAME}`` in a text stands for the result of another stage.
        folder: where it writes.
        result: the file that is there when it is done.
        needs: the stages whose results its options name, in that order.
    """

    name: str
    command: str
    options: Mapping[str, Any]
    folder: Path
    result: Path
    needs: tuple[str, ...]

    def arguments(self, results: Mapping[str, Path]) -> list[str]:
        """The options as typed, with the results of other stages in their places."""
        given = {key: _filled(value, results) for key, value in self.options.items()}
        typed = [f"{key}={json.dumps(value)}" for key, value in given.items()]
        sweeps = self.command == "sweep_pruning"  # it starts a job for each trial
        where = "hydra.sweep.dir" if sweeps else "hydra.run.dir"
        resumes = ["resume=true"] if self.command == "train" else []
        return [*typed, f"{where}={json.dumps(str(self.folder))}", *resumes]


def read_plan(
    plan: Mapping[str, Mapping[str, Any]],
    folder: Path,
    *,
    given: Sequence[str],
    options: Mapping[str, Mapping[str, Any] | None],
) -> list[Stage]:
    """The stages in the order of ``plan``.

    Args:
        plan: name -> ``command``, ``options`` and ``result`` (below the stage's folder).
        folder: of the pipeline; each stage has one of its own in it.
        given: stages whose results exist already.
        options: more of single stages, which win over those of the plan.

    Raises:
        ValueError: an unknown name, or a result that is needed before it is there.
    """
    for name in options:
        if name not in plan:
            raise ValueError(f"expected options of a stage among {', '.join(plan)}; got {name!r}")
    stages: list[Stage] = []
    for name, each in plan.items():
        own = {**each["options"], **(options.get(name) or {})}
        needs = tuple(dict.fromkeys(n for value in own.values() for n in _named(value)))
        before = [*given, *(stage.name for stage in stages)]
        for needed in needs:
            if needed not in before:
                raise ValueError(
                    f"expected options of stage {name} that name results of the stages before it "
                    f"({', '.join(before) or 'none'}), got {{{needed}}}"
                )
        if name in given:
            continue
        stages.append(
            Stage(name=name, command=each["command"], options=own, folder=folder / name,
                  result=folder / name / each["result"], needs=needs)
        )  # fmt: skip
    return stages


def check_stage(name: str, each: Any, commands: Sequence[str]) -> None:
    """Refuse what is no stage, in a pipeline of a user's own.

    Raises:
        ValueError: a key is missing, unknown or of another type, the command is unknown, or an
            option is not one for a plan.
    """
    if not re.fullmatch(r"\w[\w-]*", name):
        raise ValueError(f"expected names of stages without spaces and folders, got {name!r}")
    kinds = {"command": str, "options": dict, "result": str}
    for key in each if isinstance(each, Mapping) else ():
        if key not in kinds:
            raise ValueError(f"expected plan.{name} with {', '.join(kinds)}; got also {key!r}")
    for key, kind in kinds.items():
        value = each.get(key) if isinstance(each, Mapping) else each
        if not isinstance(value, kind):
            what = "a table" if kind is dict else "text"
            raise ValueError(f"expected {what} as plan.{name}.{key}, got {value!r}")
    if each["command"] not in commands:
        raise ValueError(
            f"expected plan.{name}.command among {', '.join(commands)}; got {each['command']!r}"
        )
    result = PurePath(each["result"])
    if result.is_absolute() or ".." in result.parts:
        raise ValueError(f"expected plan.{name}.result in the stage's folder, got {result}")
    for key, value in each["options"].items():
        try:
            check_stage_setting(str(key))
        except ValueError as error:
            raise ValueError(f"plan.{name}.options: {error}") from None
        if "${" in json.dumps(value, ensure_ascii=False):  # the stage would resolve it once more
            raise ValueError(f"expected values as plan.{name}.options, got {key}={value!r}")


def _named(value: Any) -> list[str]:
    """The stages that a value refers to."""
    if isinstance(value, str):
        return _REFERENCE.findall(value)
    if isinstance(value, Mapping):
        return [name for each in value.values() for name in _named(each)]
    if isinstance(value, Sequence):
        return [name for each in value for name in _named(each)]
    return []


def _filled(value: Any, results: Mapping[str, Path]) -> Any:
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: str(results[found[1]]), value)
    if isinstance(value, Mapping):
        return {key: _filled(each, results) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [_filled(each, results) for each in value]
    return value
