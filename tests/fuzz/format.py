"""What the fuzzer must know of a format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Format(NamedTuple):
    """How inputs of a format are made and tried."""

    make: Callable[[Path], list[Path]]
    """Writes sound files into a folder; those returned are damaged."""
    read: Callable[[Path], object]
    """Reads what is in the folder."""
    open_up: Callable[[bytes], bytes] | None = None
    """What is damaged of a file's content; None: all of it."""
    close: Callable[[bytes, bytes], bytes] | None = None
    """That, damaged, in place of what is in the content."""
