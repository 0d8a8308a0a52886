"""What the entry points share: one sentence for a user's mistake, run folders, JSON results."""

from __future__ import annotations

import functools
import logging
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from src.json_files import write_json
from src.provenance import revision, versions
from src.settings import check_types

log = logging.getLogger(__name__)

USER_ERRORS = (
    ValueError,
    TypeError,
    FloatingPointError,
    OSError,
    OmegaConfBaseException,
    InstantiationException,
)
"""What wrong input raises. Anything else is our mistake and keeps its traceback."""

HARMLESS_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\)",  # Lightning about itself
    r"`broadcast_buffers` is deprecated",  # its successor is younger than the oldest torch we take
    r"The number of training batches .* is smaller than the logging interval",
    r"The '\w+_dataloader' does not have many workers",  # data.num_workers is the user's choice
    r"Checkpoint directory .* exists and is not empty",  # a resumed run
    r"You're resuming from a checkpoint that ended before the epoch",  # our data go on there
    r"It is recommended to use .*sync_dist=True",  # of values that are the same on every device
)
"""Beginnings of warnings that no user can act on."""


_LOST = r"(?i)\b(gloo|nccl)\b.*(closed|reset|timeout|timed out|remote)"
"""What a process is told when another one of its run has ended."""


def one_sentence(task: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """Turn a user's mistake into one line on the terminal; its traceback goes to the log file.

    Inside a multirun the error is passed on, so that one failed job does not end the others.
    """

    @functools.wraps(task)
    def main(config: DictConfig) -> Any:
        quieten()
        try:
            check_types(config)
            return task(config)
        except USER_ERRORS as error:
            _log_traceback(error)
            sentence = describe(error)
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                log.error("job %s stopped: %s", HydraConfig.get().job.num, sentence)
                raise CompactHydraException(sentence) from error
            # Another process may have said it already, or be killed for this one's end.
            process = f" in process {_rank()}" if _rank() else ""
            sys.exit(f"error{process}: {sentence}")
        except RuntimeError as error:
            if not re.search(_LOST, str(error)):
                raise
            _log_traceback(error)
            sys.exit(f"process {_rank()} ends: another process of this run stopped before it")
        except KeyboardInterrupt:
            sys.exit("stopped by Ctrl-C")

    return main


def describe(error: BaseException) -> str:
    """The sentence of an error, without what Hydra and data-loading processes wrap around it."""
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        sentence = describe(error.__cause__)
        where = re.search(r"full_key: (\S+)", str(error))
        if sentence.startswith("expected") or where is None:
            return sentence
        return f"expected settings of {where[1]} that fit, got: {sentence}"
    if isinstance(error, MissingMandatoryValue):
        return f"expected a value for {error.full_key}, got none; add {error.full_key}=..."
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return (
            f"expected to read or write {error.filename}, got '{error.strerror}'; check the path, "
            "its permissions and the space left"
        )
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if "Original Traceback" in str(error):  # from a worker process: its last line is the sentence
        return lines[-1].partition(": ")[2] or lines[-1]
    return " ".join(lines)


def quieten() -> None:
    """Silence what the libraries say that no user of ours can act on."""
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    if _rank():  # the first process says the same
        logging.getLogger().setLevel(logging.WARNING)
    for message in HARMLESS_WARNINGS:
        warnings.filterwarnings("ignore", message)


def _rank() -> int:
    """Number of this process among those of a run; Lightning starts them with it."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    return int(next((os.environ[name] for name in names if os.environ.get(name)), 0))


def _log_traceback(error: BaseException) -> None:
    info = (type(error), error, error.__traceback__)
    entry = log.makeRecord(log.name, logging.ERROR, __file__, 0, "stopped by", (), info)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(entry)


def run_folder() -> Path:
    """The folder of this run, made by Hydra."""
    return Path(HydraConfig.get().runtime.output_dir)


def record(folder: Path, config: DictConfig, **facts: Any) -> None:
    """Write what makes the run repeatable: resolved configuration, command, revision, versions."""
    if _rank():
        return
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    OmegaConf.save(config, folder / "composed.yaml")  # Hydra rewrites its own at each attempt
    job = HydraConfig.get()
    overrides = list(job.overrides.task)
    provenance = {
        "command": shlex.join(["python", "-m", f"src.{job.job.name}", *overrides]),
        "overrides": overrides,
        "choices": OmegaConf.to_container(job.runtime.choices),
        "revision": revision(),
        "versions": versions(),
        **facts,
    }
    write_json(folder / "run.json", provenance)


def results_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Average precisions in per cent, one line per name."""
    columns = ("ap_easy", "ap_medium", "ap_hard", "ap")
    width = max(map(len, rows), default=0)
    lines = [" " * width + "".join(f"{c.removeprefix('ap_'):>9}" for c in columns)]
    for name, metrics in rows.items():
        lines.append(f"{name:<{width}}" + "".join(f"{100 * metrics[c]:9.2f}" for c in columns))
    return "\n".join(lines)
