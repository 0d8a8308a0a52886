"""Whether a stage is done: what it depended on then, against what it depends on now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from src.runs.files import write_json
from src.stages.plan import Stage

FILE = "stage.json"
"""In the folder of a stage: written when it starts, and again when it is done."""


@dataclass(frozen=True)
class Standing:
    """What is to be done about a stage.

    Attributes:
        state: ``done`` stays, ``unfinished`` goes on, ``changed`` and ``new`` start over.
        reason: in words.
        seconds: that it took when it was done; None: it never was.
    """

    state: Literal["done", "unfinished", "changed", "new"]
    reason: str
    seconds: float | None = None


def start(stage: Stage, facts: Mapping[str, Any]) -> None:
    """Write, before its command, what the result depends on, whatever it becomes.

    Args:
        stage: of a pipeline.
        facts: ``depends`` (what it depends on -> checksum) and others for the page.
    """
    write_json(stage.folder / FILE, facts)


def finish(stage: Stage, facts: Mapping[str, Any], *, seconds: float) -> None:
    """Write, after its command, that the result is whole, and which one it is."""
    done = {"result": checksum(stage.result), "seconds": seconds}
    write_json(stage.folder / FILE, {**facts, **done})


def standing(stage: Stage, depends: Mapping[str, str]) -> Standing:
    """Compare a stage with what its folder says.

    Args:
        stage: of a pipeline.
        depends: what it depends on -> checksum.
    """
    written = read_state(stage)
    if not written:
        return Standing("changed" if stage.folder.exists() else "new", "not run yet")
    seconds = written.get("seconds")
    before: Mapping[str, str] = written["depends"]
    changed = [name for name in {**depends, **before} if depends.get(name) != before.get(name)]
    if changed:
        return Standing("changed", f"changed since: {', '.join(changed)}", seconds)
    if "result" not in written:
        return Standing("unfinished", "started, not finished", seconds)
    if not stage.result.exists():
        return Standing("changed", f"{stage.result.name} is gone", seconds)
    if checksum(stage.result) != written["result"]:
        return Standing("changed", f"{stage.result.name} is not the one it wrote", seconds)
    return Standing("done", "done, and nothing that it depends on has changed", seconds)


def read_state(stage: Stage) -> dict[str, Any]:
    """What a stage wrote; nothing before its first start.

    Raises:
        ValueError: the file is damaged.
    """
    file = stage.folder / FILE
    if not file.exists():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict) and isinstance(content.get("depends"), dict):
            return content
        found = "something else"
    except (OSError, ValueError) as error:
        found = f"'{error}'"
    raise ValueError(
        f"expected what a stage wrote in {file}, got {found}; delete that folder to repeat the "
        "stage"
    )


def checksum(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def checksum_of(value: Any) -> str:
    """SHA-256 of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
