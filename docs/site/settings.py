"""Tables of settings, from the files of ``conf/`` and the comments in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from src.report.tables import markdown_table

ROOT = Path(__file__).resolve().parents[2]
HEAD = ("setting", "default", "meaning")
WIRING = ("defaults", "hydra", "_target_", "run_dir")
"""Keys that nobody sets."""
MANY_LINES = "..."
"""What stands for a value of several lines."""


def table(file: Path, prefix: str = "") -> str:
    """The settings of a file as a table in Markdown; empty where it has none.

    Args:
        file: of ``conf/``.
        prefix: of the names, such as ``optimizer.``.
    """
    rows = [[f"`{prefix}{name}`", _shown(value), _escaped(about)]
            for name, value, about in settings(file)]  # fmt: skip
    return markdown_table(HEAD, rows, left=(0, 1, 2)) if rows else ""


def settings(file: Path) -> Iterator[tuple[str, str, str]]:
    """Name, default as it is written, and comment of every setting of a YAML file."""
    text = file.read_text(encoding="utf-8")
    tree = yaml.compose(text, yaml.SafeLoader)
    if isinstance(tree, yaml.MappingNode):
        yield from _settings(tree, text.splitlines(), "")


def purpose(file: Path) -> str:
    """The comment that a file of ``conf/`` begins with, its first sentence."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# @package"):
            continue
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return re.split(r"(?<=[.:;]) ", " ".join(lines) + " ")[0].strip(" .:;")


def _settings(
    node: yaml.MappingNode, lines: list[str], path: str
) -> Iterator[tuple[str, str, str]]:
    for key, value in node.value:
        name = path + key.value
        if key.value in WIRING:
            continue
        table = isinstance(value, yaml.MappingNode) and not value.flow_style
        one_line = value.start_mark.line == value.end_mark.line
        mark = value.end_mark if one_line and not table else key.end_mark
        found = re.search(r"(?:^|\s)# ?(.+)$", lines[mark.line][mark.column :])
        about = found[1].strip() if found else ""
        if table:
            if about:
                yield name, "", about
            yield from _settings(value, lines, f"{name}.")
            continue
        default = MANY_LINES
        if one_line:
            default = lines[mark.line][value.start_mark.column : mark.column] or "null"
        if about or not default.startswith("${"):  # mere wiring has no comment
            yield name, default, about


def _shown(default: str) -> str:
    if not default:
        return ""
    if default == MANY_LINES:
        return "see the file"
    if default == "???":
        return "must be given"
    if default.startswith("${now:"):
        return "the time"
    return f"`{default.replace('|', chr(92) + '|')}`"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;") if "`" not in text else text
