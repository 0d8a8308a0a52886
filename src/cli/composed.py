"""The configuration of a command, from within another one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.cli.folders import watch_folders
from src.cli.options import CONF, store_option_files


def typed(settings: Mapping[str, Any]) -> list[str]:
    """Settings as one would type them: ``{"data.image_size": 64}`` -> ``data.image_size=64``."""
    plain: Any = OmegaConf.to_container(settings) if isinstance(settings, DictConfig) else settings
    return [f"{key}={json.dumps(value)}" for key, value in plain.items()]


def composed_command(name: str, overrides: Sequence[str], *, where: str) -> DictConfig:
    """What ``python -m src.<name> <overrides>`` is configured with.

    Args:
        name: of ``conf/<name>.yaml``.
        overrides: as typed.
        where: the setting that they come from, for the sentence.

    Raises:
        ValueError: they do not compose.
    """
    ready = GlobalHydra.instance().is_initialized()  # it is in a command
    with (
        contextlib.nullcontext() if ready else initialize_config_dir(str(CONF), version_base="1.3")
    ):
        try:
            watch_folders()
            store_option_files(overrides)
            return compose(name, list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"expected settings of python -m src.{name} in {where}, got others: {reason}"
            ) from error
