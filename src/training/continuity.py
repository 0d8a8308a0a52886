"""Whether a run that goes on is the same run: its settings, and its data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.runs.bounded import check_yaml
from src.runs.nested import flatten, is_below

MAY_DIFFER = (
    *(f"trainer.{name}" for name in ("accelerator", "devices", "num_nodes", "strategy", "plugins")),
    *("trainer.log_every_n_steps", "trainer.default_root_dir"),
    *("data.num_workers", "data.cache", "data.cache_folder", "data.root", "data.ground_truth"),
    "data.max_pixels",
    *("logger", "num_pictures", "run", "run_dir", "group", "resume", "resume_anyway", "kd.teacher"),
)
"""Settings of where and how a run is computed and shown. What lies in ``data.root`` is compared
itself, and so is the teacher."""

MAY_GROW = ("recipe.epochs", "trainer.max_epochs", "trainer.max_steps")

IN_CHECKPOINT = ("model", "kd", "pruning", "optimizer", "schedule", "scaling", "decay_norms", "ema")
"""Settings whose state lies in the checkpoint, which would win over other values."""

DATA = "images or labels"
"""Stands for the content of ``data.root`` among the settings."""

_SHOWN = 4


def continuing(
    folder: Path, config: DictConfig, data: str, *, step: int, anyway: str | Sequence[str]
) -> dict[str, Any]:
    """What the record of a run that goes on says of changes; arguments as of :func:`changes`.

    Args:
        step: optimizer step from which the new values hold.

    Returns:
        ``changed``: a list of ``step`` and ``settings`` (name -> before, now), or nothing.
    """
    known = list(_json(folder / "run.json").get("changed") or [])
    names = [anyway] if isinstance(anyway, str) else list(anyway)
    if differing := changes(folder, config, data, anyway=names):
        known.append({"step": step, "settings": differing})
    return {"changed": known} if known else {}


def changes(
    folder: Path, config: DictConfig, data: str, *, anyway: Sequence[str]
) -> dict[str, list[Any]]:
    """What differs between a run so far and the way it is to go on.

    Args:
        folder: of the run, which has begun.
        config: as composed, what follows other settings not resolved.
        data: fingerprint of the images and labels.
        anyway: settings, and those below them, that may differ; ``data`` the images too.

    Returns:
        Setting -> value before, value now; of those that may differ.

    Raises:
        ValueError: others differ, or the record of the run is missing or damaged.
    """
    before, now = _recorded(folder), _flat(config, data)
    differing = {
        key: [before.get(key), now.get(key)]
        for key in {**before, **now}
        if before.get(key) != now.get(key) and not is_below(key, MAY_DIFFER)
    }
    fixed = [key for key in differing if is_below(key, IN_CHECKPOINT)]
    anyway = [*anyway, *([DATA] if "data" in anyway else [])]
    refused = fixed or [
        key for key, pair in differing.items() if not (is_below(key, anyway) or _grows(key, pair))
    ]
    if refused:
        shown = "; ".join(f"{key}: {_text(differing[key][0])}, now {_text(differing[key][1])}"
                          for key in refused[:_SHOWN])  # fmt: skip
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        names = ",".join(dict.fromkeys("data" if key == DATA else key for key in refused))
        hint = "" if fixed else f", add resume_anyway=[{names}] to go on with these"
        raise ValueError(
            f"expected the settings with which {folder} was begun, got others ({shown}{more}); "
            f"give it those{hint}, or start another run with run=NAME"
        )
    return differing


def _recorded(folder: Path) -> dict[str, Any]:
    """The settings with which a run was begun, or went on, as its folder tells them."""
    file = folder / "composed.yaml"
    try:
        check_yaml(file.read_text(encoding="utf-8"))
        config = OmegaConf.load(file)
        if not isinstance(config, DictConfig):
            raise ValueError("no table of settings")
    except Exception as error:  # whatever the file holds, the sentence names it
        reason = " ".join(str(error).split()) or "something else"
        raise ValueError(
            f"expected the settings of the run that is to go on in {file}, got '{reason}'; start "
            "another with init.model=FILE and run=NAME"
        ) from None
    flat = _flat(config, "")
    data = _json(folder / "run.json").get("data")
    return {**flat, DATA: data} if data else flat


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("no table")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"expected the record of the run that is to go on in {file}, got '{error}'; start "
            "another with init.model=FILE and run=NAME"
        ) from None
    return content


def _flat(config: DictConfig, data: str) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(config, resolve=False)
    return {**flatten(plain), **({DATA: data} if data else {})}


def _grows(key: str, pair: Sequence[Any]) -> bool:
    """Whether a number of epochs or steps became larger; -1 is no limit."""
    before, now = (float("inf") if value == -1 else value for value in pair)
    numbers = all(isinstance(value, (int, float)) for value in (before, now))
    return key in MAY_GROW and numbers and now > before


def _text(value: Any) -> str:
    text = str(value[:12] if isinstance(value, str) and len(value) == 64 else value)
    return "nothing" if value is None else text
