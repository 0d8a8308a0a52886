"""What a terminal, or a log, may be told of names that anyone can give a file."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text with its control characters, which a terminal would obey, and the bytes that are not
    UTF-8, which no log takes, in words: ``\\x1b``, ``\\udcff``."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
