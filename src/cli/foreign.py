"""What a file that is given as an option may set: it may be from anyone, as a plan or an experiment
that somebody shares. Those of ``conf/`` may do all of it. docs/security.md.

A file of a group sets what is of its group, an experiment the settings of its command. None sets
anything of Hydra, which starts programs, writes logs and sets environment variables; none reads the
environment, whose secrets would be in the record of the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from hydra.plugins.config_source import ConfigSource

_KEYS = {
    "pipeline": ("name", "judged", "plan", "target"),
    "pruning": ("pruning",),
}
"""Group -> what its files set, where that is more or less than the table of the group's name."""

_RECIPES = ("experiment", "search")
"""Groups without a table of their own: files of settings of the whole command."""

SWEEPER = ("design", "direction", "max_failures", "n_jobs", "n_trials")
"""Settings of ``hydra.sweeper`` that files may give, too: sizes of a search."""

_RESOLVERS = ("now", "oc.select")
"""What an interpolation may call. ``oc.env`` reads secrets; ``oc.decode``, ``oc.create`` more."""

_HEADER = 512
"""Characters of a file in which Hydra looks for its header."""

_FOLDERS = ("run", "study", "name", "group")
"""Names of which folders are made."""


def check_foreign(content: Any, package: str | None, group: str, conf: Path) -> None:
    """Refuse what a file of ``group`` from outside ``conf/`` may not set.

    Args:
        content: as parsed, interpolations unresolved.
        package: of its ``# @package`` line.
        group: such as ``pruning`` or ``loss/box``.
        conf: the folder of the groups.

    Raises:
        ValueError: naming what it sets, without the file.
    """
    content = content or {}
    top = group.partition("/")[0]
    if top == "hydra":
        raise ValueError(f"expected an option of a group of the command, got one of {group}")
    if package not in (None, "_global_", "_group_", *_packages(conf / group)):
        raise ValueError(
            f"expected '# @package _global_', that of conf/{group} or no such line, got "
            f"'# @package {package}', by which it would set something else"
        )
    for text in _texts(content):
        check_interpolations(text)
    _check_defaults(content.get("defaults", []), group, everywhere=top in _RECIPES, conf=conf)
    settings = {key: value for key, value in content.items() if key != "defaults"}
    if package != "_global_":
        if top == "pruning":
            _check_plan(settings, conf)
        return
    known = _KEYS.get(top, (top,))
    for key, value in settings.items():
        if top in _RECIPES and key == "hydra":
            _check_sweeper(value)
        elif key in ("hydra", "run_dir") or (top not in _RECIPES and key not in known):
            raise ValueError(_too_much(str(key), top, known))
        elif key in _FOLDERS and not re.fullmatch(r"[^/\\]*", str(value)):
            raise ValueError(f"expected {key} to be a name without folders, got {value!r}")
        elif top == "pruning":
            _check_plan(value, conf)


def package_of(text: str) -> str | None:
    """What the header of a file, ``# @package NAME``, names, by Hydra's own reading of it.

    Raises:
        ValueError: a line that begins as a header and is none.
    """
    return ConfigSource._get_header_dict(text[:_HEADER])["package"]


def check_interpolations(text: str) -> None:
    """Refuse ``${oc.env:NAME}`` and whatever else an interpolation may call, however nested.

    Raises:
        ValueError: naming the interpolation.
    """
    open_at: list[int] = []
    position = 0
    while position < len(text):
        if text.startswith("${", position):
            open_at.append(position + 2)
            position += 2
            continue
        if text[position] == "}" and open_at:
            open_at.pop()
        elif text[position] == ":" and open_at:
            name = text[open_at[-1] : position].strip()
            if name not in _RESOLVERS and not name.startswith(tuple(f"{r}:" for r in _RESOLVERS)):
                raise ValueError(
                    f"expected interpolations of settings, such as ${{seed}}, got "
                    f"'${{{name}:...}}'; give that value on the command line"
                )
        position += 1


def check_stage_setting(key: str) -> None:
    """Refuse a setting of Hydra among the options of a stage, but for sizes of a search.

    Raises:
        ValueError: naming it.
    """
    plain = key.lstrip("+~")
    first, _, rest = plain.partition(".")
    sweeper = re.fullmatch(r"sweeper\.(\w+)", rest)
    own = plain.partition("@")[0].partition("/")[0] != "hydra" and first != "hydra"
    if "@" in plain or plain == "run_dir" or not (own or (sweeper and sweeper[1] in SWEEPER)):
        raise ValueError(
            f"expected settings of a command, or hydra.sweeper.({', '.join(SWEEPER)}), got {key!r}"
        )


def _packages(folder: Path) -> set[str | None]:
    return {package_of(file.read_text(encoding="utf-8")) for file in folder.glob("*.yaml")}


def _too_much(key: str, group: str, known: tuple[str, ...]) -> str:
    if group in _RECIPES:
        return f"expected settings of the command, got {key!r}, which is for the command line alone"
    hint = "" if key in ("hydra", "run_dir") or group == "pipeline" else "; give it as experiment="
    return f"expected settings of {', '.join(known)} alone, got {key!r}{hint}"


def _check_sweeper(value: Any) -> None:
    sweeper = value.get("sweeper") if isinstance(value, Mapping) else None
    known = (*SWEEPER, "params")
    if not isinstance(sweeper, Mapping) or len(value) > 1 or not set(sweeper) <= set(known):
        raise ValueError(
            f"expected of hydra only sweeper with {', '.join(known)}, got {value}; what else there "
            "is, is for the command line alone"
        )
    params = sweeper.get("params") or {}
    for key, values in params.items() if isinstance(params, Mapping) else [("params", params)]:
        check_stage_setting(str(key))
        if not isinstance(values, (str, int, float)) or "/" in str(values):
            raise ValueError(
                f"expected values of {key} to try, such as 'a,b', and no files, got {values!r}"
            )


def _check_plan(plan: Any, conf: Path) -> None:
    """A plan has the keys that ``conf/pruning/`` has, and builds what that builds."""
    if plan is None:
        return
    known: dict[str, Any] = {}
    targets = set()
    for file in sorted((conf / "pruning").glob("*.yaml")):
        own = yaml.safe_load(file.read_text(encoding="utf-8"))["pruning"] or {}
        known.update(own)
        targets.add(own.get("_target_"))
    if not isinstance(plan, Mapping):
        raise ValueError(f"expected a table of settings as pruning, got {plan!r}")
    for key, value in plan.items():
        if key not in known:
            names = ", ".join(name for name in known if name != "_target_")
            raise ValueError(f"expected a setting of pruning among {names}; got {key!r}")
        if key == "_target_" and value not in targets:
            raise ValueError(
                f"expected pruning._target_ of {', '.join(sorted(filter(None, targets)))}; got "
                f"{value!r}"
            )
        inner = known[key] if isinstance(known[key], Mapping) else {}
        if isinstance(value, Mapping) and not set(value) <= set(inner):
            (name, *_) = [name for name in value if name not in inner]
            where = f"among {', '.join(inner)}" if inner else "without a table"
            raise ValueError(f"expected a setting of pruning.{key} {where}; got {name!r}")
        if isinstance(value, list) and any(isinstance(each, (list, dict)) for each in value):
            raise ValueError(f"expected numbers as pruning.{key}, got {value}")


def _check_defaults(defaults: Any, group: str, *, everywhere: bool, conf: Path) -> None:
    """The files that a file begins with: options of its group in ``conf/``, or of all groups."""
    if not isinstance(defaults, list):
        raise ValueError(f"expected a list as defaults, got {defaults!r}")
    for entry in defaults:
        named = entry if isinstance(entry, Mapping) else {"": entry}
        for key, value in named.items():
            words = str(key).split()
            where = words[-1] if words else ""
            rest = PurePosixPath(where.lstrip("/") if where.startswith("/") else f"{group}/{where}")
            options = value if isinstance(value, list) else [value]
            fits = (
                set(words[:-1]) <= {"override", "optional"}
                and "@" not in where
                and ".." not in rest.parts
                and rest.parts[:1] != ("hydra",)
                and (conf / rest).is_dir()
                and (everywhere or str(rest).startswith(group))
                and all(_is_name(option) for option in options)
            )
            if not fits:
                what = "the groups" if everywhere else f"the group {group}"
                raise ValueError(f"expected defaults to be options of {what} in conf/, got {entry}")


def _is_name(option: Any) -> bool:
    return option is None or bool(re.fullmatch(r"\w[\w-]*(/\w[\w-]*)*", str(option)))


def _texts(node: Any) -> Iterator[str]:
    """Every text of a file, keys among them."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)
    elif isinstance(node, str):
        yield node
