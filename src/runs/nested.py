"""Nested settings as one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def flatten(node: Any, path: str = "") -> dict[str, Any]:
    """Dotted key -> value; lists and empty tables are values."""
    if not isinstance(node, Mapping) or not node:
        return {path: node}
    flat = {}
    for name, value in node.items():
        flat.update(flatten(value, f"{path}.{name}" if path else str(name)))
    return flat


def is_below(key: str, names: Iterable[str]) -> bool:
    """Whether a dotted key is one of ``names`` or lies below one of them."""
    return any(key == name or key.startswith(f"{name}.") for name in names)
