"""One process at a time, where several may be about to write the same files."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder that ends with the process, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows: without the lock, two writers at once are not safe
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


PATIENCE = 12.0
"""Seconds: workers of a killed run, which keep its lock, need up to five to notice."""


@contextlib.contextmanager
def only_one_in(folder: Path, what: str) -> Iterator[None]:
    """Be the one run that works in a folder; the lock ends with the process, however it ends.

    Args:
        folder: of the run.
        what: it is, for the sentence.

    Raises:
        ValueError: another process works there.
    """
    try:
        import fcntl
    except ImportError:  # Windows: two at once are not noticed
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    end = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise ValueError(
                        f"expected no other process in {folder}, got one at work; wait for that "
                        f"{what}, or give this one another name"
                    ) from None
                time.sleep(0.2)
            except OSError:  # a file system without locks
                break
        yield
    finally:
        os.close(handle)
