"""What the folder of a run tells: its configuration, its average precisions, its learning curve."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from src.runs.bounded import check_yaml

METRICS = {"easy": "ap_easy", "medium": "ap_medium", "hard": "ap_hard", "mean": "ap"}
"""Level -> its name in ``metrics.json`` and, after ``val/``, in ``metrics.csv``."""

_STOPPED = re.compile(r"(?:job \d+ stopped|error): (.+)")


class LeftOut(NamedTuple):
    """A run that is not in the comparison, and why."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Run:
    """A finished run. Average precisions are fractions of 1, NaN where no face counts."""

    folder: Path
    seed: int | None
    """None of a command without a seed, such as an evaluation."""
    ap: Mapping[str, float]
    """Level -> AP of the best checkpoint."""
    size_ap: Mapping[str, float]
    """Size of faces, as in ``ap_size_0_16`` without ``ap_`` -> AP; empty of an older run."""
    teacher_ap: Mapping[str, float]
    """Level -> AP of the teacher; empty without one."""
    curve: Sequence[tuple[int, float]]
    """Optimizer steps done, AP (mean of the levels) at each validation."""
    steps: int | None
    """Optimizer steps in all: the last validation of a finished run is that of its last step."""
    images: int | None
    """Validation images, where the run knows them."""
    config: Mapping[str, Any]
    """With all interpolations resolved."""
    written: Mapping[str, Any]
    """As composed: what follows another value is still an interpolation."""
    choices: Mapping[str, str | None]
    """Group -> option chosen."""
    overrides: Sequence[str]
    """As typed."""
    provenance: Mapping[str, Any]
    """Content of ``run.json``."""
    finished: float
    """Seconds since 1970."""


def read_runs(folders: Sequence[Path]) -> tuple[list[Run], list[LeftOut]]:
    """Read run folders and folders of them, such as those of a multirun.

    Returns:
        The finished runs in the order given, those of a multirun by number, and the others.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: a folder holds no run, no run is finished, or a file of a run is damaged.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        for run in _run_folders(folder):
            found.setdefault(run.resolve(), run)
    runs: list[Run] = []
    left_out: list[LeftOut] = []
    for folder in found.values():
        reason = _unusable(folder)
        if reason is None:
            runs.append(_read(folder))
        else:
            left_out.append(LeftOut(folder, reason))
    if not runs:
        reasons = "; ".join(f"{folder}: {reason}" for folder, reason in left_out[:3])
        more = ", ..." if len(left_out) > 3 else ""
        raise ValueError(
            f"expected at least one finished run, got {len(left_out)} of which none can be "
            f"compared ({reasons}{more}); finish them with resume=true, or repeat them"
        )
    return runs, left_out


def _run_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"expected a run folder or a folder of runs, got no folder {folder}; runs are in "
            "outputs/train, those of multiruns in outputs/multirun; set runs="
        )
    if _is_run(folder):
        return [folder]
    found = [child for child in folder.iterdir() if child.is_dir() and _is_run(child)]
    if not found:
        raise ValueError(
            f"expected a run folder or a folder of runs, got {folder} with neither run.json nor "
            "runs in it; set runs= to the folder of one run or of one multirun"
        )
    return sorted(found, key=lambda run: (not run.name.isdigit(), run.name.zfill(9), run.name))


def _is_run(folder: Path) -> bool:
    # A run that failed at once has nothing but what Hydra wrote.
    return any((folder / name).exists() for name in (".hydra", "run.json", "metrics.json"))


def _unusable(folder: Path) -> str | None:
    """Why a run cannot be compared; None when it can."""
    if not (folder / "metrics.json").exists():
        for file in sorted(folder.glob("*.log")):
            said = _STOPPED.findall(file.read_text(encoding="utf-8", errors="replace"))
            if said:
                return f"failed: {said[-1].strip()}"
        return "unfinished: it has no metrics.json"
    names = ("run.json", "config.yaml", "composed.yaml")
    missing = [name for name in names if not (folder / name).exists()]
    if not missing:
        known = _json(folder / "run.json")
        missing = [f"{name} in run.json" for name in ("overrides", "choices") if name not in known]
    if not missing:
        return None
    return f"incomplete, or of an earlier version: it has no {', no '.join(missing)}"


def _read(folder: Path) -> Run:
    file = folder / "metrics.json"
    metrics = _json(file)
    config = _yaml(folder / "config.yaml")
    provenance = _json(folder / "run.json")
    rows = list(metric_rows(folder / "metrics.csv"))
    last = max((step for step, _ in rows), default=None)
    return Run(
        folder=folder,
        seed=config.get("seed"),
        ap=_precisions(metrics, file),
        size_ap={
            name.removeprefix("ap_"): math.nan if value is None else _fraction(name, value, file)
            for name, value in metrics.items()
            if name.startswith("ap_size_")
        },
        teacher_ap=_teacher(rows),
        curve=[(step + 1, row["val/ap"]) for step, row in rows if "val/ap" in row],
        steps=None if last is None else last + 1,
        images=metrics.get("images") or _validation_images(config),
        config=config,
        written=_yaml(folder / "composed.yaml"),
        choices=provenance["choices"],
        overrides=provenance["overrides"],
        provenance=provenance,
        finished=file.stat().st_mtime,
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # also what is no text
        raise ValueError(
            f"expected JSON in {file}, got '{error}'; repeat that run, or leave its folder out"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"expected a table in {file}, got {content!r}; repeat that run, or leave its folder out"
        )
    return content


def _yaml(file: Path) -> Any:
    try:
        check_yaml(file.read_text(encoding="utf-8"))
        return OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except Exception as error:  # whatever the file holds, the sentence names it
        reason = " ".join(str(error).split())
        raise ValueError(
            f"expected YAML in {file}, got '{reason}'; repeat that run, or leave its folder out"
        ) from error


def _precisions(metrics: Mapping[str, Any], file: Path) -> dict[str, float]:
    found = {}
    for level, name in METRICS.items():
        value = metrics.get(name, "nothing")
        found[level] = math.nan if value is None else _fraction(name, value, file)
    return found


def _fraction(name: str, value: Any, file: Path) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(
            f"expected {name} between 0 and 1 in {file}, got {value}; repeat that run, or "
            "leave its folder out"
        )
    return value


def metric_rows(file: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """Lines of ``metrics.csv``: the index of the optimizer step, from 0, and the finite numbers.

    None where there is no such file.
    """
    if not file.exists():
        return
    # A kill, or a full disk, can leave anything: what is no number is left out.
    with file.open(newline="", encoding="utf-8", errors="replace") as stream:
        for row in csv.DictReader(line.replace("\0", "") for line in stream):
            numbers = {name: _number(text) for name, text in row.items()}
            if math.isfinite(numbers.get("step", math.nan)):
                finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
                yield int(numbers["step"]), finite


def _number(text: Any) -> float:
    """NaN where there is none: a kill can cut the last line short."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _teacher(rows: Sequence[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    """AP of the teacher per level: measured once, logged with every validation."""
    last: dict[str, float] = {}
    for _, row in rows:
        last.update(row)
    names = {level: f"val/teacher_{name}" for level, name in METRICS.items()}
    return {level: last[name] for level, name in names.items() if name in last}


def _validation_images(config: Mapping[str, Any]) -> int | None:
    data = config.get("data") or {}
    numbers = data.get("num_val_images"), (data.get("generator") or {}).get("num_val")
    return min((number for number in numbers if number is not None), default=None)
