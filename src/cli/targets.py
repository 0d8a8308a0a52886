"""What a configuration may call: the ``_target_`` of settings that may come from anyone.

Hydra calls whatever a ``_target_`` names, but for a list of names that it refuses; ``torch.load``
and ``numpy.load``, which run what a pickle says, are not on it. So here it is the other way round:
what this project and its libraries offer for the purpose, and what a user adds by :data:`VARIABLE`.
docs/security.md.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import hydra.utils
from omegaconf import OmegaConf

VARIABLE = "FEATHERFACE_TARGETS"
"""Environment variable with more names, such as ``mine.*,torch.nn.ReLU``. No file can set it."""

LIBRARIES = (
    "torch.optim", "lightning.pytorch.trainer", "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers", "lightning.pytorch.strategies", "lightning.pytorch.profilers",
    "lightning.pytorch.plugins", "lightning.fabric.plugins", "lightning.pytorch.accelerators",
    "optuna.samplers", "optuna.pruners", "omegaconf",
)  # fmt: skip
"""Where the classes of other packages are defined that may be built."""

CALLABLES = (
    "src.checkpoint.architecture", "src.detection", "src.distillation", "src.models",
    "src.runs.teachers.TeacherSearch", "src.training.schedules", "src.training.teachers",
)  # fmt: skip
"""Our functions and classes that a configuration may call: they compute, and touch no files but
those of weights. Others write files, start processes and import by name."""

CLASSES = (*LIBRARIES, "src.data.datamodule", "src.data.transforms", "src.pruning",
           "src.synthetic.tree", "src.training")  # fmt: skip
"""Where only classes may be built: functions beside them write files."""


def instantiate(config: Any, **arguments: Any) -> Any:
    """``hydra.utils.instantiate`` of what :func:`check_targets` lets pass."""
    check_targets(
        OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    )
    return hydra.utils.instantiate(config, **arguments)


def check_targets(settings: Any) -> None:
    """Refuse a ``_target_`` that is not for configurations, before anything of it is imported.

    Args:
        settings: plain lists and tables, resolved.

    Raises:
        ValueError: naming the setting.
    """
    for key, target in _targets(settings, ""):
        if isinstance(target, str) and _allowed(target, os.environ.get(VARIABLE, "")):
            continue
        raise ValueError(
            f"expected {key} of what configurations may build (networks, losses, data and "
            f"training of src, torch.optim, Lightning, OmegaConf, Optuna), got {target!r}, which "
            "is something else or does not exist; where you trust it with all that you may do, set "
            f"{VARIABLE}={target} in the environment"
        )


def _targets(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, value in node.items():
            key = f"{path}.{name}" if path else str(name)
            if name == "_target_":
                yield key, value
            yield from _targets(value, key)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _targets(value, f"{path}[{number}]")


@functools.cache
def _allowed(target: str, added: str) -> bool:
    names = [name for name in re.split(r"[,:\s]+", added) if name]
    if target == "???" or any(fnmatchcase(target, name) for name in names):
        return True
    if not _below(target, ("src", *(name.partition(".")[0] for name in LIBRARIES))):
        return False
    try:
        found = hydra.utils.get_object(target)
    except Exception:  # there is no such thing, or its module cannot be imported
        return False
    # What it is, not how it was reached: src.checkpoint.torch.load is torch.load.
    module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    if not (callable(found) and isinstance(module, str) and isinstance(name, str)):
        return False
    ours = _below(f"{module}.{name}", CALLABLES)
    return ours or (isinstance(found, type) and _below(module, CLASSES))


def _below(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in packages)
