"""How every entry point starts: ``hydra.main``, and one sentence for what Hydra refuses."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
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


def refusal(error: Exception, name: str, arguments: Sequence[str]) -> str:
    """The sentence for settings that could not be composed.

    Args:
        error: of Hydra.
        name: of the configuration.
        arguments: of the command line.
    """
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"expected {group}= of {', '.join(error.options)}; got {option!r}"
    causes = f"{error}\n{error.__cause__}"
    unknown = re.search(r"Key '(\S+)' is not in struct\s+full_key: (\S+)", causes)
    if isinstance(error, ConfigCompositionException) and unknown:
        key, path = unknown.groups()
        parent = path.removesuffix(key).rstrip(".")
        known = _settings(name, [a for a in arguments if not _sets(a, path)], parent)
        return f"expected a setting of {parent or name} among {known}; got {key!r}"
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
