"""Where a study is kept: a journal file beside its trials, a database, or Optuna's proxy."""

from __future__ import annotations

import json
import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.storages.journal._file import BaseJournalFileLock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

JOURNAL = "journal.log"
"""Name of the journal in a study's folder."""

ATTEMPTS = 5
"""To open a database in which other processes make the same tables at the same moment."""


def open_storage(storage: str | None, folder: Path) -> BaseStorage:
    """Open what ``storage`` names.

    Args:
        storage: None for the journal in ``folder``; else a file for a journal, a URL of a database
            (``sqlite:///...``, ``postgresql://...``), or ``grpc://HOST:PORT`` of Optuna's proxy.
        folder: of the study; made if it does not exist.

    Raises:
        ValueError: it cannot be opened.
    """
    if storage is None or "://" not in storage:
        file = folder / JOURNAL if storage is None else Path(storage)
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = KernelLock(file) if fcntl else JournalFileOpenLock(str(file))
        _drop_half_line(file, lock)
        try:
            opened = JournalStorage(JournalFileBackend(str(file), lock_obj=lock))
            last = file.read_bytes().splitlines()[-1:]
            if last and not _is_entry(last[0]):  # Optuna stops there once another one follows
                raise ValueError(last[0])
            return opened
        except OSError:
            raise
        except Exception as error:  # of Optuna, over whatever a line holds
            raise ValueError(
                f"expected the journal of a study in {_damaged(file)}; restore a copy of it, or "
                "begin another study"
            ) from error
    if storage.startswith("grpc://"):
        host, _, port = storage.removeprefix("grpc://").partition(":")
        if not port.isdecimal():
            raise ValueError(f"expected a storage as grpc://HOST:PORT, got {storage!r}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # no user can act on it
            return optuna.storages.GrpcStorageProxy(host=host, port=int(port))
    for attempt in range(ATTEMPTS):
        try:
            return optuna.storages.RDBStorage(storage)
        except ImportError as error:
            raise ValueError(
                f"expected the driver of {storage.partition('://')[0]} to be installed, got "
                f"'{error}'; for PostgreSQL: pip install 'psycopg[binary]', and storage as "
                "postgresql+psycopg://USER@HOST/DATABASE"
            ) from error
        except Exception as error:  # of SQLAlchemy's many drivers
            if attempt + 1 == ATTEMPTS:
                reason = str(error.__cause__ or error).strip().splitlines()[0]
                raise ValueError(
                    f"expected a storage that can be opened, got {storage!r}: {reason}"
                ) from error
            time.sleep(0.2 * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


class KernelLock(BaseJournalFileLock):
    """One process at a time writes a journal; the kernel releases the lock of one that is killed.

    Optuna's own locks are files that a killed process leaves: the next one waits 30 s for it.
    """

    def __init__(self, journal: Path) -> None:
        self._path = f"{journal}.kernel-lock"
        self._file = -1

    def acquire(self) -> bool:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)  # also that of children forked meanwhile
        os.close(self._file)


def _damaged(file: Path) -> str:
    """The first line at which Optuna stops, as file:line, and what stands there."""
    journal = file.read_bytes().split(b"\n")
    for number, line in enumerate(journal[:-1], start=1):
        if not _is_entry(line):
            return f"{file}:{number}, got {line[:60]!r}"
    # Every line is an entry, but one says something that those before it do not allow.
    low, high = 0, len(journal) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _replays(journal[:middle]) else (low, middle)
    return f"{file}:{high}, got {journal[high - 1][:60]!r}, which does not follow"


def _is_entry(line: bytes) -> bool:
    """Whether a line says what was done, and by whom."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return False
    kinds = {"op_code": int, "worker_id": str}
    return isinstance(entry, dict) and all(isinstance(entry.get(k), t) for k, t in kinds.items())


def _replays(lines: Sequence[bytes]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / JOURNAL
        copy.write_bytes(b"".join(line + b"\n" for line in lines))
        try:
            JournalStorage(JournalFileBackend(str(copy)))
        except Exception:  # as above
            return False
        return True


def _drop_half_line(file: Path, lock: BaseJournalFileLock) -> None:
    """Cut off what a process that was killed while writing left of a line: Optuna stops at it."""
    if not file.exists():
        return
    lock.acquire()
    try:
        content = file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(file, whole)
    finally:
        lock.release()
