"""One line of JSON per file that is done, so that a run that ends early has lost nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Entry = Mapping[str, Any]
"""What was found in a file, its name under ``file``; or an ``error``."""


class Journal:
    """The file ``predictions.jsonl``: the settings that decide what is found, then an entry a line.

    Args:
        file: to write.
        settings: plain values.
        resume: keep what an earlier run with the same settings has written.

    Raises:
        ValueError: the earlier run had other settings, or its file is damaged.

    ``done`` has the entries without an error by the name of their file.
    """

    def __init__(self, file: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        self.file = file
        self.done: dict[str, Entry] = {}
        lines = _whole_lines(file) if resume and file.exists() else []
        if lines:
            self._compare(_parsed(file, 1, lines[0], "settings", dict)["settings"], settings)
        for number, line in enumerate(lines[1:], start=2):
            entry = _parsed(file, number, line, "file", str)
            if "error" not in entry:
                self.done[entry["file"]] = entry
        # Written anew, without what failed or was cut off.
        content = [json.dumps({"settings": settings}), *map(json.dumps, self.done.values())]
        file.write_text("".join(f"{line}\n" for line in content), encoding="utf-8")

    def add(self, entry: Entry) -> None:
        """Write the entry of one more file."""
        if "error" not in entry:
            self.done[entry["file"]] = entry
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")

    def _compare(self, before: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        for name, value in settings.items():
            if before.get(name) != value:
                raise ValueError(
                    f"{self.file}: expected {name} of the run that goes on, {before.get(name)!r}, "
                    f"got {value!r}; set it so, or begin another run with run=NAME"
                )


def _whole_lines(file: Path) -> list[str]:
    # What stands behind the last line end was cut off by a kill.
    return file.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]


def _parsed(file: Path, number: int, line: str, key: str, kind: type) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict) or not isinstance(entry.get(key), kind):
        raise ValueError(
            f"{file}:{number}: expected a line of JSON with '{key}', got {line[:60]!r}; remove "
            "the file, or begin another run with run=NAME"
        )
    return entry
