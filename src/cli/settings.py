"""Whether the values of a configuration have the types that what they configure asks for.

Constructors check values; a word where a number belongs would reach them as a comparison of text
with a number, deep inside a library.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from src.cli.declared import SETTINGS, TABLES
from src.cli.options import CONF
from src.cli.targets import check_targets

_SCALARS = (str, bool, int, float, type(None))

Typed = tuple[str, Any, Any]
"""Dotted key, value and annotation of a setting."""


def check_types(config: DictConfig) -> None:
    """Compare every setting with its type.

    That of an argument below a ``_target_`` is the annotation of its parameter, that of a setting
    which a command reads itself stands in :data:`src.cli.declared.SETTINGS`.

    Raises:
        ValueError: naming a setting of another type, a mandatory one that is null, or a target that
            is not for configurations.
    """
    refuse(declared(OmegaConf.to_container(config), TABLES))  # others refer to what is in them
    plain: Any = OmegaConf.to_container(config, resolve=True)
    for name in _mandatory():
        if name in plain and plain[name] is None:
            raise ValueError(f"expected a value for {name}, got null; add {name}=...")
    check_targets(plain)
    pruning = plain.get("pruning")
    if isinstance(pruning, dict) and "_target_" not in pruning:  # of a file that sets a part
        raise ValueError(
            f"expected a whole plan as pruning, got {pruning or 'an empty one'}; begin its file "
            "with defaults: [one_shot, _self_], or give pruning=[one_shot,FILE]"
        )
    refuse([*declared(plain, SETTINGS), *_arguments(plain, "")])


def _mandatory() -> list[str]:
    """Settings that the command of this run has no default for."""
    file = CONF / f"{HydraConfig.get().job.name if HydraConfig.initialized() else None}.yaml"
    defaults = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    return [name for name, value in defaults.items() if value == "???"]


def refuse(settings: Iterable[Typed]) -> None:
    """Raises ValueError for the first setting whose value is not of its type."""
    wrong = [found for found in settings if not _fits(found[1], found[2])]
    if wrong:
        # Settings appear again wherever they are passed on; people set them by the short name.
        key, value, hint = min(wrong, key=lambda found: len(found[0]))
        setting = key.partition("[")[0]
        raise ValueError(f"expected {key} to be {_described(hint)}, got {value!r}; set {setting}=")


def declared(values: Any, hints: Mapping[str, Any], prefix: str = "") -> Iterator[Typed]:
    """Those settings among ``values`` whose types ``hints`` gives by their dotted names."""
    for name, hint in hints.items():
        parent, _, key = name.rpartition(".")
        table = values.get(parent) if parent else values  # no name has more than one dot
        if isinstance(table, Mapping) and key in table and table[key] != "???":
            yield prefix + name, table[key], hint
            yield from _elements(prefix + name, table[key], hint)


def _arguments(node: Any, path: str) -> Iterator[Typed]:
    """Every argument below ``node``."""
    if isinstance(node, list):
        for index, value in enumerate(node):
            yield from _arguments(value, f"{path}[{index}]")
    if not isinstance(node, dict):
        return
    hints = _hints(node.get("_target_"))
    for name, value in node.items():
        key = f"{path}.{name}" if path else str(name)
        if name in hints and value != "???":
            yield key, value, hints[name]
            yield from _elements(key, value, hints[name])
        yield from _arguments(value, key)


def _elements(path: str, node: Any, hint: Any) -> Iterator[Typed]:
    """What a list or a table holds, and what that holds."""
    for member in _members(hint):
        origin, kinds = get_origin(member), get_args(member)
        if not (isinstance(origin, type) and kinds):
            continue
        found: list[tuple[str, Any]] = []
        if isinstance(node, dict) and issubclass(origin, Mapping):
            found = [(f"{path}.{name}", value) for name, value in node.items()]
        elif isinstance(node, list) and issubclass(origin, Sequence):
            found = [(f"{path}[{index}]", value) for index, value in enumerate(node)]
        kind = kinds[-1] if isinstance(node, dict) else kinds[0]
        for key, value in found:
            yield key, value, kind
            yield from _elements(key, value, kind)


def _hints(target: Any) -> Mapping[str, Any]:
    if not isinstance(target, str):
        return {}
    try:
        found: Callable[..., Any] = get_object(target)
        if isinstance(found, type):
            found = vars(found).get("__init__", found.__init__)  # type: ignore[misc]
        return get_type_hints(found)
    except Exception:  # unknown target: instantiate says so; unreadable annotations: nothing to say
        return {}


def _members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of an annotation."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if origin is Annotated:
        kind, least, *most = get_args(hint)
        return _fits(value, kind) and least <= value and all(value <= bound for bound in most)
    if origin is Literal:
        return value in get_args(hint)
    if hint is None or hint is type(None):
        return value is None
    wanted = origin or hint
    anything = wanted in (object, Any) or getattr(wanted, "_is_protocol", False)
    if anything or not isinstance(wanted, type):
        return True
    if is_typeddict(wanted):
        return isinstance(value, dict)
    if isinstance(value, list):
        return issubclass(list, wanted) or issubclass(wanted, (tuple, set, frozenset))
    if isinstance(value, dict):  # what has a target is built by instantiate
        return wanted not in _SCALARS if "_target_" in value else issubclass(dict, wanted)
    if isinstance(value, bool) or wanted is bool:
        return isinstance(value, bool) and wanted is bool
    if wanted is float:
        return isinstance(value, (int, float))
    if isinstance(value, str) and issubclass(wanted, (os.PathLike, Enum)):
        return True
    if isinstance(value, str) and wanted is not str:
        return False  # also where any sequence will do: its letters are not meant
    return isinstance(value, wanted)


_WORDS = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text",
    type(None): "null", Sequence: "a list", list: "a list", Mapping: "a table of settings",
}  # fmt: skip


def _described(hint: Any) -> str:
    """An annotation in words; types that no YAML file can give are left out."""
    members = _members(hint)
    values = [repr(v) for each in members if get_origin(each) is Literal for v in get_args(each)]
    listed = [f"one of {', '.join(dict.fromkeys(values))}"] if values else []
    names = [_word(each) for each in members]
    return " or ".join(dict.fromkeys([*listed, *filter(None, names)])) or f"a {hint}"


def _word(member: Any) -> str | None:
    """One alternative in words; None where no YAML file can give it."""
    if get_origin(member) is not Annotated:
        return _WORDS.get(get_origin(member) or member)
    kind, least, *most = get_args(member)
    return f"{_word(kind)} " + (f"from {least} to {most[0]}" if most else f"of at least {least}")
