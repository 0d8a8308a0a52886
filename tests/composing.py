"""The configuration a command line gives, without a process for it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from src.cli.errors import one_sentence

CONF = str(Path(__file__).resolve().parents[1] / "conf")

TINY_DATA = [
    "data.generator.num_train=6",
    "data.generator.num_val=3",
    "data.generator.size=96",
    "data.num_workers=0",
    "data.val_long_side=96",
    "data.val_batch_size=3",
]


def compose_run(name: str, folder: Path, *overrides: str, multirun: bool = False) -> DictConfig:
    """What the command ``name`` is configured with; its run folder is ``folder``.

    Until the next call, or :func:`forget_run`, Hydra believes to be in that run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose(name, list(overrides), return_hydra_config=True)
    with open_dict(config):
        config.hydra.runtime.output_dir = str(folder)
        config.hydra.mode = "MULTIRUN" if multirun else "RUN"
        if multirun:
            config.hydra.job.num = 0
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config.hydra
        if "run_dir" in config:
            config.run_dir = str(folder)
    return config


class _Files(list):
    """The files that a configuration is merged from, in order."""

    merged: DictConfig | None = None


def merge_files_once() -> None:
    """Have Hydra look for the files of the same options, and merge them, once per process.

    That is most of the time of a composition, of which the tests make a thousand. Hydra still
    applies the settings of the command line, to a copy.
    """
    choose = config_loader_impl.create_defaults_list
    merge = ConfigLoaderImpl._compose_config_from_defaults_list
    chosen: dict[Any, Any] = {}

    def choose_once(repo: Any, config_name: str, overrides_list: Any, **how: bool) -> Any:
        given = [o for o in overrides_list if not o.is_sweep_override()]
        options = [
            o
            for o in given
            if repo.group_exists(o.key_or_group) and not isinstance(o.value(), dict)
        ]
        if any("/" in o.input_line.partition("=")[2] for o in options):  # files of a test
            return choose(repo, config_name, overrides_list, **how)
        sources = tuple((source.scheme(), source.path) for source in repo.get_sources())
        key = (sources, config_name, *(o.input_line for o in options), *how.values())
        if key not in chosen:
            found = choose(repo, config_name, overrides_list, **how)
            chosen[key] = dataclasses.replace(found, defaults=_Files(found.defaults))
        settings = [o for o in given if o not in options]
        return dataclasses.replace(chosen[key], config_overrides=settings)

    def merge_once(self: ConfigLoaderImpl, defaults: Any, repo: Any) -> DictConfig:
        if not isinstance(defaults, _Files):
            return merge(self, defaults, repo)
        if defaults.merged is None:
            defaults.merged = merge(self, defaults, repo)
        return copy.deepcopy(defaults.merged)

    config_loader_impl.create_defaults_list = choose_once
    ConfigLoaderImpl._compose_config_from_defaults_list = merge_once


def forget_run() -> None:
    """End the run that Hydra believes to be in."""
    HydraConfig.instance().cfg = None


@contextmanager
def composed(
    name: str, folder: Path, *overrides: str, multirun: bool = False
) -> Iterator[DictConfig]:
    """``with composed("predict", folder, "a=1") as config``, the run folder being ``folder``."""
    try:
        yield compose_run(name, folder, *overrides, multirun=multirun)
    finally:
        forget_run()


def complaint_of(
    task: Callable[[DictConfig, Path], Any], name: str, folder: Path, *overrides: str
) -> str:
    """The sentence, without "error: ", with which the command ``name`` ends."""
    with composed(name, folder, *overrides) as config, pytest.raises(SystemExit) as stop:
        one_sentence(lambda given: task(given, folder))(config)
    text = stop.value.code
    assert isinstance(text, str), text  # Python writes it to stderr and exits with code 1
    assert text.startswith("error: ")
    assert "\n" not in text
    return text.removeprefix("error: ")
