"""What a search leaves: the best point as a configuration that the next command takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.runs.files import replacing

BEST = "best.yaml"


def write_best(
    path: Path,
    params: Mapping[str, Any],
    config: DictConfig,
    *,
    whole: Sequence[str],
    is_group: Callable[[str], bool],
    comments: Sequence[str],
) -> None:
    """Write a YAML file that sets what a search found.

    Args:
        path: the file; it appears whole or not at all.
        params: the best point, by setting.
        config: of the job at that point.
        whole: parts of ``config`` that the file holds completely, so that it can stand for them.
        is_group: whether a setting is a choice among the files of a group.
        comments: lines for the top.
    """
    content = OmegaConf.create({})
    choices = [
        {f"/{key[1:]}" if key.startswith("+") else f"override /{key}": value}
        for key, value in params.items()
        if is_group(key.lstrip("+"))
    ]
    if choices:
        OmegaConf.update(content, "defaults", choices)
    for name in whole:
        part = OmegaConf.select(config, name)
        OmegaConf.update(content, name, OmegaConf.to_container(part, resolve=True))
    for name, value in params.items():
        key = name.lstrip("+")  # +key: one that the command lacks
        if not is_group(key):
            found = OmegaConf.select(config, key)  # a choice is a text until it is composed
            OmegaConf.update(content, key, value if found is None else found)
    head = "\n".join(["# @package _global_", *(f"# {line}" for line in comments)])
    with replacing(path) as partial:
        partial.write_text(f"{head}\n{OmegaConf.to_yaml(content)}", encoding="utf-8")
