"""What a terminal may be told of names that anyone can give a file."""

from __future__ import annotations

import sys
from typing import TextIO


def printable(text: str) -> str:
    """Text with its control characters, which a terminal would obey, and the bytes that are not
    UTF-8 in words: ``\\x1b``, ``\\udcff``."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line, by default on the error stream."""
    print(printable(text), file=stream or sys.stderr, flush=True)
