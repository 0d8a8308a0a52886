"""Lines of numbers: what the layouts that are text files share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from src.data.layouts.labels import LARGEST, Labels, quoted
from src.runs.files import replacing


def read_lines(file: Path) -> list[tuple[int, str]]:
    """The lines of a file that are not empty, without spaces around them, and their numbers."""
    # Undecodable bytes become a visible character and so a message with a line number.
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1))
    return [(number, line) for number, line in lines if line]


def write_lines(file: Path, lines: Sequence[str]) -> None:
    """Write them whole or not at all; folders are made."""
    with replacing(file) as partial:
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def numbers(
    text: str, counts: Sequence[int], labels: Labels, file: Path, line: int
) -> list[float] | None:
    """The numbers of a face line; None, and a problem in ``labels``, where they are not such.

    Args:
        text: of the line.
        counts: how many there may be.
        labels: takes the problem.
        file, line: for its message.
    """
    tokens = text.split()
    message = f"expected numbers for a face, got {quoted(text)}"
    if len(tokens) not in counts:
        expected = " or ".join(map(str, counts))
        message = f"expected {expected} numbers for a face, got {len(tokens)}"
    elif "_" not in text:  # Python takes 1_0 for a number
        with suppress(ValueError):
            row = [float(token) for token in tokens]
            if all(abs(value) < LARGEST for value in row):  # not of NaN
                return row
            message = f"expected finite numbers for a face, got {quoted(text)}"
    labels.refuse(file, line, message)
    return None
