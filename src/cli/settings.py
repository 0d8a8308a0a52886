"""Whether the values of a configuration have the types that what they configure asks for.

Constructors check values; a word where a number belongs would reach them as a comparison of text
with a number, deep inside a library.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

_SCALARS = (str, bool, int, float, type(None))


def check_types(config: DictConfig) -> None:
    """Compare every argument below a ``_target_`` with the annotation of its parameter.

    Raises:
        ValueError: naming a setting whose type is not the one annotated.
    """
    wrong = [
        (key, value, hint)
        for key, value, hint in _arguments(OmegaConf.to_container(config, resolve=True), "")
        if not _fits(value, hint)
    ]
    if wrong:
        # Settings appear again wherever they are passed on; people set them by the short name.
        key, value, hint = min(wrong, key=lambda found: len(found[0]))
        setting = key.partition("[")[0]
        raise ValueError(f"expected {key} to be {_described(hint)}, got {value!r}; set {setting}=")


def _arguments(node: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Dotted key, value and annotation of every argument below ``node``."""
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


def _elements(path: str, node: Any, hint: Any) -> Iterator[tuple[str, Any, Any]]:
    """Key, value and annotation of what a list or a table holds, and of what that holds."""
    origin, kinds = get_origin(hint), get_args(hint)
    if not (isinstance(origin, type) and kinds):
        return
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


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if hint is None or hint is type(None):
        return value is None
    wanted = origin or hint
    if not isinstance(wanted, type) or wanted is object or getattr(wanted, "_is_protocol", False):
        return True
    if not isinstance(value, _SCALARS):  # built by instantiate, or checked by its constructor
        return wanted not in _SCALARS
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
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    values = [repr(v) for each in members if get_origin(each) is Literal for v in get_args(each)]
    names = [_WORDS.get(get_origin(each) or each) for each in members]
    listed = [f"one of {', '.join(dict.fromkeys(values))}"] if values else []
    return " or ".join(dict.fromkeys([*listed, *filter(None, names)])) or f"a {hint}"
