"""One sentence for a user's mistake, whatever it was and wherever it showed."""

from __future__ import annotations

import errno
import functools
import io
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from src.cli.settings import check_types
from src.report.terminal import printable
from src.runs.processes import rank

log = logging.getLogger(__name__)

USER_ERRORS = (
    ValueError,
    TypeError,
    FloatingPointError,
    OSError,
    MemoryError,
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


EXHAUSTED = (
    (
        r"DataLoader worker \(pid\(?s?\)?.*(exited unexpectedly|killed by signal)",
        "expected the processes that load images to live, got one that was killed, mostly for want "
        "of memory; lower data.num_workers, data.batch_size or data.val_batch_size, or set "
        "data.num_workers=0 for its own error",
    ),
    (
        r"(?i)(can't|cannot|unable to|could not|failed to) (allocate|mmap)|out ?of ?memory"
        r"|insufficient memory|bad_alloc|not enough memory",
        "expected enough memory, got refused; lower data.batch_size, data.val_batch_size, "
        "data.image_size, long_side or data.num_workers",
    ),
)
"""What libraries say of a machine that is too small, and our sentence."""


def exhausted(error: BaseException) -> str | None:
    """The sentence for a machine that is too small; None for any other error."""
    if isinstance(error, (EOFError, ConnectionError)) and _in_a_loader(error):
        return EXHAUSTED[0][1]
    text = f"{type(error).__name__}: {error}"
    found = (sentence for pattern, sentence in EXHAUSTED if re.search(pattern, text))
    refused = isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    )
    return next(found, EXHAUSTED[-1][1] if refused else None)


def _in_a_loader(error: BaseException) -> bool:
    """Whether an error came while a batch was received: of a process that was just killed PyTorch
    may see the closed pipe before it sees the death."""
    frames = traceback.walk_tb(error.__traceback__)
    return any("torch/utils/data/" in Path(f.f_code.co_filename).as_posix() for f, _ in frames)


class _Printable(logging.Filter):
    """Of all handlers: of what is logged with the names of files."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message != printable(message):
            record.msg, record.args = printable(message), ()
        return True


def one_sentence(task: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """Turn a user's mistake into one line on the terminal; its traceback goes to the log file.

    What is expected of the user begins with "expected", or with the name of a file and then that.
    Any other error that has these types may be a mistake of ours, so its line names the log file.

    Inside a multirun the error is passed on, so that one failed job does not end the others.
    """

    @functools.wraps(task)
    def main(config: DictConfig) -> Any:
        quieten()
        try:
            check_types(config)
            return task(config)
        except USER_ERRORS as error:
            sentence = describe(error)
            file = _log_traceback(error, f"error: {sentence}")
            if file and not re.match(r"(.+: )?expected ", sentence):  # perhaps our mistake
                sentence += f" (traceback in {file})"
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                log.error("job %s stopped: %s", HydraConfig.get().job.num, sentence)
                raise CompactHydraException(sentence) from error
            # Another process may have said it already, or be killed for this one's end.
            process = f" in process {rank()}" if rank() else ""
            lost = _is_full(error) or exhausted(error) is not None
            going_on = _how_to_go_on(config) if lost else ""
            sys.exit(f"error{process}: {sentence}{going_on}")
        except (RuntimeError, EOFError) as error:
            if (too_small := exhausted(error)) is not None:
                _log_traceback(error, f"error: {too_small}")
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    log.error("job %s stopped: %s", HydraConfig.get().job.num, too_small)
                    raise CompactHydraException(too_small) from error
                sys.exit(f"error: {too_small}{_how_to_go_on(config)}")
            if not re.search(_LOST, str(error)):
                raise
            _log_traceback(error, "stopped by another process")
            sys.exit(f"process {rank()} ends: another process of this run stopped before it")
        except KeyboardInterrupt:
            sys.exit("stopped by Ctrl-C")

    return main


def _is_full(error: BaseException) -> bool:
    """Whether an error is one of the disk, in the middle of work."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _how_to_go_on(config: DictConfig) -> str:
    """What a stopped training is told besides."""
    if "resume" not in config or "run" not in config:
        return ""
    return f"; resume=true run={config.run} goes on from the last checkpoint"


def describe(error: BaseException) -> str:
    """The sentence of an error, without what Hydra and data-loading processes wrap around it."""
    return printable(_described(error))


def _described(error: BaseException) -> str:
    if (sentence := exhausted(error)) is not None:
        return sentence
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        sentence = describe(error.__cause__)
        where = re.search(r"full_key: (\S+)", str(error))
        if sentence.startswith("expected") or where is None:
            return sentence
        return f"expected settings of {where[1]} that fit, got: {sentence}"
    if isinstance(error, MissingMandatoryValue):
        return f"expected a value for {error.full_key}, got none; add {error.full_key}=..."
    if isinstance(error, (InterpolationKeyError, InterpolationResolutionError)):
        reason = str(error).partition("\n")[0]
        return f"expected what {error.full_key} refers to, got: {reason}; set {error.full_key}="
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return (
            f"expected to read or write {error.filename}, got '{error.strerror}'; check the path, "
            "its permissions and the space left"
        )
    if _is_full(error) and isinstance(error, OSError):
        job = HydraConfig.get() if HydraConfig.initialized() else None
        place = "the run folder" if job is None else job.runtime.output_dir
        return (
            f"expected space on the disk of {place}, got '{error.strerror}'; make room, or write "
            "elsewhere with hydra.run.dir="
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
    if rank():  # the first process says the same
        logging.getLogger().setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        if not any(isinstance(each, _Printable) for each in handler.filters):
            handler.addFilter(_Printable())
            stream = getattr(handler, "stream", None)
            if isinstance(stream, io.TextIOWrapper):  # tracebacks have names that are not UTF-8
                stream.reconfigure(errors="backslashreplace")
            handler.handleError = functools.partial(  # type: ignore[method-assign]
                _unwritten, handler.handleError
            )
    for message in HARMLESS_WARNINGS:
        warnings.filterwarnings("ignore", message)


def _unwritten(otherwise: Callable[[logging.LogRecord], None], record: logging.LogRecord) -> None:
    """A log that cannot be written, on a full disk, is no second error; a mistake of ours is."""
    if not isinstance(sys.exc_info()[1], OSError):
        otherwise(record)


def _log_traceback(error: BaseException, sentence: str) -> str | None:
    """Write the traceback of an error into the log file, whose name is returned."""
    written = None
    info = (type(error), error, error.__traceback__)
    entry = log.makeRecord(log.name, logging.ERROR, __file__, 0, sentence, (), info)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(entry)
            written = handler.baseFilename
    return written
