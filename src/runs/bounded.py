"""What a file says before it is believed: how much it will become in memory.

A file of a few kilobytes can hold a table of tables that refer to each other (nested aliases of
YAML, shared objects of pickle), or entries of an archive that inflate or overlap, and so stand for
more than any machine has.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

MOST_NODES = 100_000
"""Values of a file of settings; those of this project have hundreds."""
_DEEPEST = 50


def check_nodes(content: Any) -> None:
    """Refuse plain data of too many values, each counted as often as it is referred to.

    Raises:
        ValueError: more than :data:`MOST_NODES`, or nested too deeply.
    """
    left = [(content, 0)]
    for count in itertools.count(1):
        if not left:
            return
        node, depth = left.pop()
        if count + len(left) > MOST_NODES or depth > _DEEPEST:
            raise ValueError(f"more than {MOST_NODES:,} values, or {_DEEPEST} of them nested")
        if isinstance(node, Mapping):
            left.extend((each, depth + 1) for pair in node.items() for each in pair)
        elif isinstance(node, Sequence) and not isinstance(node, (str, bytes)):
            if len(node) > MOST_NODES:
                raise ValueError(f"more than {MOST_NODES:,} values")
            left.extend((each, depth + 1) for each in node)


def check_yaml(text: str) -> None:
    """Refuse YAML that stands for too many values once its aliases are followed.

    Raises:
        ValueError: more than :data:`MOST_NODES`, an alias within what it stands for, or nested too
            deeply.
        yaml.YAMLError: it is no YAML.
    """
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        count = 0 if root is None else _nodes(root, {})
    except RecursionError:
        raise ValueError("tables nested too deeply") from None
    if count > MOST_NODES:
        raise ValueError(f"more than {MOST_NODES:,} values, aliases followed")


def _nodes(node: yaml.Node, known: dict[int, int]) -> int:
    if id(node) not in known:
        known[id(node)] = MOST_NODES + 1  # until it is known: an alias within itself
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [each for pair in node.value for each in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        known[id(node)] = 1 + sum(_nodes(child, known) for child in children)
    return known[id(node)]


def check_archive(path: Path) -> None:
    """Refuse a ZIP file whose entries are compressed, overlap or are damaged.

    Raises:
        zipfile.BadZipFile: saying which it is.
    """
    length = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(e.compress_type != zipfile.ZIP_STORED or e.flag_bits & 1 for e in entries):
            raise zipfile.BadZipFile("an archive whose entries are compressed")
        if sum(max(e.file_size, e.compress_size) for e in entries) > length:
            raise zipfile.BadZipFile("an archive whose entries overlap")
        if archive.testzip() is not None:
            raise zipfile.BadZipFile("a damaged archive")
