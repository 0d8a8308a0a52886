"""The results of a contest as a table in Markdown and as CSV, and the words around it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.contest.run import PERCENTILES, Latency, Result
from src.report.tables import markdown_table, percent
from src.runs.files import replacing

_LEVELS = ("easy", "medium", "hard")
_HEAD = [
    "detector", "runtime", "KB", "parameters", "px", "network, ms", "ratio", "image to faces, ms",
    "ratio", "memory, MB",
]  # fmt: skip


def results_table(results: Sequence[Result]) -> str:
    """One line per detector and size; of times the percentiles, with slashes between them."""
    scored = any(result.ap for result in results)
    head = [*_HEAD, *(f"AP {level}" for level in _LEVELS if scored)]
    return markdown_table(head, [_cells(result, scored) for result in results], left=(0, 1))


def _cells(result: Result, scored: bool) -> list[str]:
    entry, ap = result.entry, result.ap
    parameters = "" if entry.parameters is None else f"{entry.parameters:,}"
    times = [cell for latency in (result.network, result.whole) for cell in _times(latency)]
    added, most = result.memory_added, result.memory
    memory = "" if added is None or most is None else f"{most / 1e6:.0f} (+{added / 1e6:.0f})"
    return [
        entry.name.replace("|", r"\|"), entry.runtime, f"{entry.bytes / 1000:,.0f}", parameters,
        str(result.size), *times, memory,
        *(percent(ap[f"ap_{level}"]) if ap else "" for level in _LEVELS if scored),
    ]  # fmt: skip


def _times(latency: Latency) -> list[str]:
    shown = " / ".join(f"{1000 * value:.1f}" for value in latency.percentiles)
    return [shown, f"{latency.ratio:.2f}"]


def method(results: Sequence[Result], *, device: str, threads: int, rounds: int,
           revision: str, data: str) -> str:  # fmt: skip
    """How a table came about, in Markdown."""
    names = " / ".join(map(str, PERCENTILES))
    scored = f" AP in per cent on {data}." if any(result.ap for result in results) else ""
    return (
        f"{device}, threads: {threads}; {rounds} rounds in turn, percentiles {names} of one image; "
        "ratios of times are medians over rounds, to the first detector; memory is the largest of "
        "the process, in brackets what runtime, network and images added to it."
        f"{scored} Revision {revision}."
    )


def write_csv(results: Sequence[Result], path: Path) -> None:
    """One line per detector and size: times in milliseconds, AP from 0 to 1."""
    rows = [flat(result) for result in results]
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def flat(result: Result) -> dict[str, Any]:
    """A result as columns."""
    entry = result.entry
    times = {"network": result.network, "image_to_faces": result.whole}
    return {
        "name": entry.name, "runtime": entry.runtime, "file": entry.file, "bytes": entry.bytes,
        "parameters": entry.parameters, "size": result.size,
        **{
            f"{what}_p{percentile}_ms": 1000 * value
            for what, latency in times.items()
            for percentile, value in zip(PERCENTILES, latency.percentiles, strict=True)
        },
        **{f"{what}_ratio": latency.ratio for what, latency in times.items()},
        "memory": result.memory, "memory_added": result.memory_added,
        **{f"ap_{level}": result.ap and result.ap[f"ap_{level}"] for level in _LEVELS},
    }  # fmt: skip
