"""Whether the values of a configuration have the types that what they configure asks for.

Constructors check values; a word where a number belongs would reach them as a comparison of text
with a number, deep inside a library.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

_SCALARS = (str, bool, int, float, type(None))


def check_types(config: DictConfig) -> None:
    """Compare every argument below a ``_target_`` with the annotation of its parameter.

    Raises:
        ValueError: naming the first setting whose type is not the one annotated.
    """
    for key, value, hint in _arguments(OmegaConf.to_container(config, resolve=True), ""):
        if not _fits(value, hint):
            raise ValueError(f"expected {key} to be {_described(hint)}, got {value!r}; set {key}=")


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
        yield from _arguments(value, key)


def _hints(target: Any) -> Mapping[str, Any]:
    if not isinstance(target, str):
        return {}
    try:
        found: Callable[..., Any] = get_object(target)
        return get_type_hints(found.__init__ if isinstance(found, type) else found)
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


def _described(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        names = [_described(each) for each in get_args(hint)]
        return " or ".join(dict.fromkeys(name for name in names if name != "a Tensor"))
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    if hint is type(None):
        return "null"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    name = getattr(get_origin(hint) or hint, "__name__", str(hint))
    return words.get(hint, f"a {name}")
