"""How every entry point starts: ``hydra.main``, and one sentence for what Hydra refuses."""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

import src
from src.cli.errors import describe, one_sentence
from src.cli.folders import watch_folders
from src.cli.options import CONF, one_line, store_option_files, yaml_file
from src.cli.positional import name_files
from src.report.terminal import printable
from src.runs.processes import end_with_first
from src.runs.record import run_folder

_RAISE = "HYDRA_FULL_ERROR"
"""While this variable is "1", Hydra raises what it would print over several lines."""

_REFUSED = {
    "experimental_rerun": "whose file can run code; repeat the command in run.json instead",
    "config_path": "which replaces all of conf/; give options of your own by --config-dir",
    "config_name": "which replaces the settings of the command; give yours as experiment=FILE",
}
"""Flags of Hydra, and what is wrong with each."""


def command(
    name: str,
    task: Callable[[DictConfig, Path], Any],
    *,
    objective: Callable[[Any], Any] = lambda returned: returned,
    files: str | None = None,
) -> Callable[[], Any]:
    """The entry point ``python -m src.<name>``.

    Args:
        name: of ``conf/<name>.yaml``.
        task: called with the configuration and the folder of the run.
        objective: what a sweeper gets to know of what the task returned.
        files: the setting that words without a ``=`` are values of; None: there are no such words.
    """
    ours = os.environ.get(_RAISE) != "1"

    @functools.wraps(task)
    def started(config: DictConfig) -> Any:
        if ours:  # composed: errors of the task, and other processes, are not meant
            os.environ.pop(_RAISE, None)
        return one_sentence(lambda config: objective(task(config, run_folder())))(config)

    run = hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(started)

    def main() -> Any:
        if signal.getsignal(signal.SIGINT) is src.stopped:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        end_with_first()
        try:
            if files is not None:
                sys.argv[1:] = name_files(sys.argv[1:], files)
            check_flags(sys.argv[1:])
            watch_folders()
            store_option_files(sys.argv[1:])
        except ValueError as error:
            sys.exit(f"error: {printable(str(error))}")
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            # A terminal that is closed ends a command as SIGTERM does; nohup has it ignored.
            signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        if not ours:
            return run()
        os.environ[_RAISE] = "1"
        try:
            return run()
        except (HydraException, OmegaConfBaseException, YAMLError, ValueError, OSError) as error:
            sys.exit(f"error: {printable(refusal(error, name, sys.argv[1:]))}")
        except KeyboardInterrupt:
            sys.exit("stopped by Ctrl-C")
        finally:
            os.environ.pop(_RAISE, None)

    return main


def check_flags(arguments: Sequence[str]) -> None:
    """Refuse what would bring another program: settings of which nothing has been looked at.

    Args:
        arguments: of the command line; read as Hydra reads them, shortened flags among them.

    Raises:
        ValueError: naming the flag, and what to give instead.
    """
    given = vars(get_args_parser().parse_known_args(list(arguments))[0])
    for name, reason in _REFUSED.items():
        if given[name] is not None:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"expected settings, got {flag} {given[name]}, {reason}")


def refusal(error: Exception, name: str, arguments: Sequence[str]) -> str:
    """The sentence for settings that could not be composed.

    Args:
        error: of Hydra.
        name: of the configuration.
        arguments: of the command line.
    """
    for each in (error, error.__cause__, error.__context__):  # the folder, or the log file in it
        if isinstance(each, OSError) and each.errno is not None:
            return describe(each)
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        return _unknown_option(error.missing_cfg_file, error.options)
    if "Config group override must be" in str(error):
        empty = [a.removesuffix("=null") for a in arguments if a.endswith("=null")]
        groups = [f"{name}=" for name in empty if (CONF / name).is_dir()]
        return f"expected the name of an option for {' '.join(groups)}, got null; leave it out"
    causes = f"{error}\n{error.__cause__}"
    unknown = re.search(r"Key '(\S+)' is not in struct\s+full_key: (\S+)", causes)
    if isinstance(error, ConfigCompositionException) and unknown:
        key, path = unknown.groups()
        parent = path.removesuffix(key).rstrip(".")
        known = _settings(name, [a for a in arguments if not _sets(a, path)], parent)
        return f"expected a setting of {parent or name} among {known}; got {key!r}"
    return one_line(error)


def _unknown_option(missing: str, known: Sequence[str]) -> str:
    """The sentence for an option that is neither in ``conf/`` nor a file."""
    group, _, option = missing.rpartition("/")
    folders = {path.relative_to(CONF).as_posix() for path in CONF.rglob("*")}
    if not group.startswith("hydra") and group not in folders:  # the option is a path
        group, _, option = missing.partition("/")
    sentence = f"expected {group}= of {', '.join(known)}"
    if "/" not in option:
        hint = f"; {group}=./{option} is the file" if yaml_file(option).is_file() else ""
        return f"{sentence}; got {option!r}{hint}"
    sentence += f" or the path of a YAML file; got {option!r}"
    if yaml_file(option).is_file():  # of another group, which this one follows
        return f"{sentence}; add {group}=NAME"
    return f"{sentence}, which {'is a folder' if Path(option).is_dir() else 'does not exist'}"


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
