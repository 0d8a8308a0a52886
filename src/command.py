"""How every entry point starts: ``hydra.main``, and one sentence for what Hydra refuses.

An option of a group is a file of ``conf/GROUP/``, or any other YAML file by its path:
``pruning=outputs/sweeps/demo/best`` takes ``outputs/sweeps/demo/best.yaml``.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

CONF = Path(__file__).resolve().parents[1] / "conf"
_RAISE = "HYDRA_FULL_ERROR"
"""While this variable is "1", Hydra raises what it would print over several lines."""


def command(name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a function of the configuration ``conf/<name>.yaml`` an entry point."""

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        ours = os.environ.get(_RAISE) != "1"

        @functools.wraps(task)
        def started(config: DictConfig) -> Any:
            if ours:  # composed: errors of the task, and other processes, are not meant
                os.environ.pop(_RAISE, None)
            return task(config)

        run = hydra.main(version_base="1.3", config_path="../conf", config_name=name)(started)

        @functools.wraps(task)
        def main() -> Any:
            try:
                store_option_files(sys.argv[1:])
            except ValueError as error:
                sys.exit(f"error: {error}")
            if not ours:
                return run()
            os.environ[_RAISE] = "1"
            try:
                return run()
            except (HydraException, OmegaConfBaseException) as error:
                sys.exit(f"error: {refusal(error, name, sys.argv[1:])}")
            finally:
                os.environ.pop(_RAISE, None)

        return main

    return decorate


def store_option_files(arguments: Sequence[str]) -> None:
    """Make the files that a command line names as options known to Hydra, under those names.

    A value with a ``/`` names a file, with or without ``.yaml``, relative to the working folder;
    without a ``# @package`` line its content goes where that of the group's own options does. What
    is no file is left to Hydra.

    Args:
        arguments: of the command line.

    Raises:
        ValueError: a file is not YAML, or no table of settings.
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
        for path in _paths(override):
            file = _yaml_file(path)
            if file.is_file():
                *folders, name = [part for part in path.split("/") if part]
                content, package = _read_option(file, group)
                ConfigStore.instance().store(
                    name, content, group="/".join([group, *folders]), package=package
                )


def refusal(error: Exception, name: str, arguments: Sequence[str]) -> str:
    """The sentence for settings that could not be composed.

    Args:
        error: of Hydra.
        name: of the configuration.
        arguments: of the command line.
    """
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        return _unknown_option(error.missing_cfg_file, error.options)
    causes = f"{error}\n{error.__cause__}"
    unknown = re.search(r"Key '(\S+)' is not in struct\s+full_key: (\S+)", causes)
    if isinstance(error, ConfigCompositionException) and unknown:
        key, path = unknown.groups()
        parent = path.removesuffix(key).rstrip(".")
        known = _settings(name, [a for a in arguments if not _sets(a, path)], parent)
        return f"expected a setting of {parent or name} among {known}; got {key!r}"
    return _one_line(error)


def _paths(override: Override) -> Iterator[str]:
    """The values of an override, or of a sweep over it, that have a slash."""
    value = override.value()
    for each in value.list if isinstance(value, ChoiceSweep) else [value]:
        for text in each if isinstance(each, list) else [each]:
            text = text.text if isinstance(text, QuotedString) else text
            if isinstance(text, str) and "/" in text:
                yield text


def _yaml_file(path: str) -> Path:
    return Path(path if path.endswith(".yaml") else f"{path}.yaml")


def _read_option(file: Path, group: str) -> tuple[Any, str | None]:
    """The content of a file, and the package that its first line names."""
    kind = f"expected {group}= of a YAML file with a table of settings, got {file}"
    try:
        text = file.read_text(encoding="utf-8")
        is_table = isinstance(yaml.compose(text, yaml.SafeLoader), yaml.MappingNode | None)
        content = OmegaConf.create(text) if is_table else None
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{kind}, which is not YAML: {error.problem}{line}") from None
    except (yaml.YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{kind}, which cannot be read: {_one_line(error)}") from None
    if content is None:
        raise ValueError(f"{kind}, which holds something else")
    header = re.match(r"\s*#\s*@package\s+(\S+)", text)
    return content, header[1] if header else None


def _unknown_option(missing: str, known: Sequence[str]) -> str:
    """The sentence for an option that is neither in ``conf/`` nor a file."""
    group, _, option = missing.partition("/")
    if group == "hydra":
        group, _, option = missing.rpartition("/")
    sentence = f"expected {group}= of {', '.join(known)}"
    if "/" not in option:
        hint = f"; {group}=./{option} is the file" if _yaml_file(option).is_file() else ""
        return f"{sentence}; got {option!r}{hint}"
    sentence += f" or the path of a YAML file; got {option!r}"
    if _yaml_file(option).is_file():  # of another group, which this one follows
        return f"{sentence}; add {group}=NAME"
    return f"{sentence}, which {'is a folder' if Path(option).is_dir() else 'does not exist'}"


def _one_line(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).splitlines() if line.strip())


def _sets(override: str, path: str) -> bool:
    """Whether an override gives ``path`` a value, by its name or in a table."""
    key, _, value = override.lstrip("+~").partition("=")
    return key == path or (path.startswith(f"{key}.") and value.startswith("{"))


def _settings(name: str, overrides: Sequence[str], parent: str) -> str:
    """The names below ``parent``, with the other settings of the command line."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose(name, [o for o in overrides if not o.startswith("-")])
    except (HydraException, OmegaConfBaseException):
        return f"those of conf/{name}.yaml"
    node = OmegaConf.select(config, parent) if parent else config
    return ", ".join(map(str, node)) if isinstance(node, DictConfig) else f"conf/{name}.yaml"
