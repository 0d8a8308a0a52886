"""Reads what W&B wrote offline: a LevelDB log of its records (wandb/core, internal/leveldb)."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK = 32768
HEADER = 7
"""Bytes before each piece: check sum, length, and whether it is whole, first, middle or last."""


@dataclass
class OfflineRun:
    """One run, as it would be uploaded."""

    name: str = ""
    group: str = ""
    job_type: str = ""
    logged: set[str] = field(default_factory=set)
    rows: list[dict[str, Any]] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    """Name of an artefact -> its digest."""
    used: dict[str, str] = field(default_factory=dict)


def read_runs(folder: Path) -> list[OfflineRun]:
    """All runs below a folder."""
    return [_read(file) for file in sorted(folder.rglob("offline-run-*/run-*.wandb"))]


def _read(file: Path) -> OfflineRun:
    run = OfflineRun()
    for content in _records(file.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.name, run.group = record.run.display_name, record.run.run_group
            run.job_type = record.run.job_type
        elif kind == "history":
            items = record.history.item
            # A picture has several values below its name.
            row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}
            run.rows.append(row)
            run.logged |= row.keys()
        elif kind == "artifact":
            artifact = record.artifact
            (run.used if artifact.use_after_commit else run.made)[artifact.name] = artifact.digest
    return run


def _records(content: bytes) -> Iterator[bytes]:
    place, pieces = HEADER, b""  # the file begins with a header of its own
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + HEADER])
        place += HEADER
        pieces += content[place : place + length]
        place += length
        if kind in (1, 4):  # whole, or the last piece
            yield pieces
            pieces = b""
