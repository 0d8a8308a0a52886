"""The numbers of a stage for a dashboard, from the file that its command leaves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.stages.plan import Stage


def numbers(stage: Stage, seconds: float) -> list[dict[str, float]]:
    """Rows of name -> value: ``stage/seconds``, and what the command measured.

    ``network/*`` of each network that ``src.measure`` compares, a row each; ``export/*`` of
    ``src.export``; ``final/*``, the AP, of ``src.evaluate`` and ``src.prune``.
    """
    rows = _READERS.get(stage.command, lambda folder: [])(stage.folder)
    finite = [{name: float(v) for name, v in row.items() if _is_finite(v)} for row in rows]
    return [*finite, {"stage/seconds": seconds}]


def _networks(folder: Path) -> list[dict[str, Any]]:
    found = [
        {
            "network/parameters": row["parameters"],
            "network/multiply_adds": row["multiply_adds"],
            "network/milliseconds": 1000 * row["median"],
            **_prefixed("network", row.get("metrics") or {}),
        }
        for row in _read(folder / "measure.json")["networks"]
    ]
    return sorted(found, key=lambda row: row["network/parameters"])  # a line over them


def _exported(folder: Path) -> list[dict[str, Any]]:
    results = _read(folder / "export.json")
    worst = [output["relative"] for runtime in results["differences"].values()
             for output in runtime.values()]  # fmt: skip
    return [{"export/bytes": results["bytes"], "export/difference": max(worst, default=math.nan)}]


def _evaluated(folder: Path) -> list[dict[str, Any]]:
    return [_prefixed("final", _read(folder / "metrics.json"))]


def _pruned(folder: Path) -> list[dict[str, Any]]:
    results = _read(folder / "pruning.json")
    return [
        {
            **_prefixed("final", results["metrics"]),
            "prune/parameters": results["parameters"][1],
            **{f"prune/realised_{group}": rate
               for group, rate in results.get("realised_rates", {}).items()},
        }
    ]  # fmt: skip


_READERS = {
    "measure": _networks,
    "export": _exported,
    "evaluate": _evaluated,
    "prune": _pruned,
}


def _prefixed(prefix: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}/{name}": value for name, value in metrics.items() if name.startswith("ap")}


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
