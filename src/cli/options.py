"""Options of a group that are files: those of ``conf/GROUP/``, or any other YAML file by its path.

``pruning=outputs/sweeps/demo/best`` takes ``outputs/sweeps/demo/best.yaml``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.cli.foreign import check_foreign, package_of
from src.runs.bounded import check_yaml

CONF = Path(__file__).resolve().parents[2] / "conf"


def store_option_files(arguments: Sequence[str]) -> None:
    """Make the files that a command line names as options known to Hydra, under those names.

    A value with a ``/`` names a file, with or without ``.yaml``, relative to the working folder;
    without a ``# @package`` line its content goes where that of the group's own options does.
    :mod:`src.cli.foreign` says what it may set. What is no file is left to Hydra. In a list such as
    ``pruning=[soft,outputs/sweeps/demo/best]`` later options win, so a file that sets what its
    group sets must come last.

    Args:
        arguments: of the command line.

    Raises:
        ValueError: a file is not YAML, or no table of settings, or sets what it may not, or what it
            sets would be lost.
    """
    parser = OverridesParser.create()
    for argument in arguments:
        try:
            (override,) = parser.parse_overrides([argument])
        except HydraException:  # Hydra says so, or it is no setting: --help
            continue
        group = override.key_or_group
        if group.startswith("hydra") or not (CONF / group).is_dir():
            continue
        for path, after in _paths(override):
            file = yaml_file(path)
            refuse_outside(path, group)
            if file.is_file():
                *folders, name = [part for part in path.split("/") if part]
                content, package = read_option(file, group)
                if after and group in content:
                    raise ValueError(
                        f"expected {path} behind {after} in {group}=[...], because later options "
                        f"win; got it before; set {group}=[{after},{path}]"
                    )
                ConfigStore.instance().store(
                    name, content, group="/".join([group, *folders]), package=package
                )


def yaml_file(path: str) -> Path:
    """The file that an option names, with or without its suffix."""
    return Path(path if path.endswith(".yaml") else f"{path}.yaml")


def refuse_outside(path: str, group: str) -> None:
    """Refuse a name by which Hydra would leave ``conf/`` and read a file that nobody has looked at.

    Raises:
        ValueError: naming it.
    """
    inside = Path(os.path.normpath(yaml_file(f"{CONF / group}/{path}")))
    file = yaml_file(path)
    leaves = not inside.is_relative_to(CONF) and inside.is_file()
    if leaves and not (file.is_file() and file.samefile(inside)):
        raise ValueError(
            f"expected {group}= of a file's path from the working folder, got {path!r}, which is "
            f"one from conf/{group}; write {group}={inside}"
        )


def one_line(error: Exception) -> str:
    """What an error says over several lines, in one."""
    return " ".join(line.strip() for line in str(error).splitlines() if line.strip())


def _paths(override: Override) -> Iterator[tuple[str, str]]:
    """The values of an override, or of a sweep over it, that have a slash.

    Each with the group's own options that follow it in the same list, as text.
    """
    value = override.value()
    for each in value.list if isinstance(value, ChoiceSweep) else [value]:
        values = each if isinstance(each, list) else [each]
        texts = [str(o.text if isinstance(o, QuotedString) else o) for o in values]
        for number, text in enumerate(texts):
            if "/" in text:
                yield text, ",".join(o for o in texts[number + 1 :] if "/" not in o)


def read_option(file: Path, group: str) -> tuple[Any, str | None]:
    """The content of a file, and the package that its header names.

    Args:
        file: of ``conf/``, or of anyone.
        group: that it is an option of.

    Raises:
        ValueError: it is not YAML, stands for too many values, is no table of settings, or sets
            what it may not.
    """
    kind = f"expected {group}= of a YAML file with a table of settings, got {file}"
    try:
        text = file.read_text(encoding="utf-8")
        check_yaml(text)
        is_table = isinstance(yaml.compose(text, yaml.SafeLoader), yaml.MappingNode | None)
        content = OmegaConf.create(text) if is_table else None
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{kind}, which is not YAML: {error.problem}{line}") from None
    except (yaml.YAMLError, OmegaConfBaseException, OSError, ValueError) as error:
        raise ValueError(f"{kind}, which cannot be read: {one_line(error)}") from None
    if content is None:
        raise ValueError(f"{kind}, which holds no such table")
    try:
        package = package_of(text)
        if not file.resolve().is_relative_to(CONF):
            check_foreign(OmegaConf.to_container(content), package, group, CONF)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return content, package
