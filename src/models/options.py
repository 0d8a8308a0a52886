"""Options of networks: plain values, from YAML or a checkpoint, as checked dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

Options = TypeVar("Options")

MOST_CHANNELS = 4096
MOST_BLOCKS = 64
"""Checkpoints say how large a network is; beyond these a machine would be busy building it."""

KINDS = {bool: "true or false", int: "a whole number"}


def read_options(kind: type[Options], values: object, *, of: str) -> Options:
    """An options dataclass from plain values, each of the type of its default.

    Args:
        kind: a dataclass whose fields have defaults.
        values: name -> value; missing ones keep their default.
        of: what the options are of, for messages.

    Raises:
        ValueError: no table, unknown names or a value of another type; names the known ones.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"expected a table of options of {of}, got {values!r}")
    known: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := [name for name in values if name not in known]:
        raise ValueError(f"expected options of {of} of {', '.join(known)}; got {unknown}")
    for name, value in values.items():
        wanted = type(known[name])
        if wanted in KINDS and type(value) is not wanted:
            raise ValueError(f"expected {name} of {of} to be {KINDS[wanted]}, got {value!r}")
    return kind(**values)


def check_whole(value: object, name: str, *, of: str, least: int, most: int) -> None:
    """Refuse what is no whole number from ``least`` to ``most``.

    Raises:
        ValueError: naming the option.
    """
    if type(value) is not int or not least <= value <= most:
        raise ValueError(
            f"expected {name} of {of} as a whole number from {least} to {most}, got {value!r}"
        )
