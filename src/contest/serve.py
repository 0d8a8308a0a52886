"""The process of a contender: ``python -m src.contest.serve``, as :class:`Child` starts it.

Reads questions from standard input and answers each on standard output, a line of JSON each. The
first question is the entry. What all contenders share, PyTorch above all, is imported before memory
is counted.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from src.contest.contender import Contender
from src.contest.entry import Entry
from src.detection.decoding import Decoder
from src.evaluation.prediction_files import detection_rows
from src.images.files import read_image

_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")
_CLOCK = time.perf_counter
_REASON = 500
"""Characters of a library's message that are passed on."""


def serve(questions: TextIO, answers: TextIO) -> None:
    """Answer until there are no more questions."""
    before = _forget_peak()
    contender: Contender | None = None

    def answer(entry: Any = None, **question: Any) -> dict[str, Any]:
        nonlocal contender
        if contender is None:
            decoder = Decoder(**question["decoder"])
            contender = Contender(Entry(**entry), decoder, threads=question["threads"])
            return {}
        image = read_image(Path(question["image"]))
        times = [_CLOCK()]
        prepared = contender.prepare(image)
        times.append(_CLOCK())
        outputs = contender.raw(prepared.pixels)
        times.append(_CLOCK())
        found = contender.faces(outputs, prepared)
        times.append(_CLOCK())
        peak = _memory("VmHWM")
        return {
            "seconds": [end - start for start, end in itertools.pairwise(times)],
            "memory": [peak, None if peak is None or before is None else peak - before],
            "rows": detection_rows(found).tolist() if question["rows"] else None,
        }  # fmt: skip

    for line in questions:
        try:
            said = answer(**json.loads(line))
        except (ValueError, OSError, ArithmeticError, RuntimeError, MemoryError) as error:
            said = {"error": " ".join(str(error).split())[:_REASON] or type(error).__name__}
        answers.write(json.dumps(said) + "\n")
        answers.flush()


def _forget_peak() -> int | None:
    """Bytes in memory now, from where the peak begins anew; None where the system has none."""
    try:
        _FORGET.write_text("5")
    except OSError:
        return None
    return _memory("VmRSS")


def _memory(name: str) -> int | None:
    """Bytes, of a line of the process's status."""
    if not _STATUS.exists():
        return None
    lines = [line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return 1024 * int(lines[0].split()[1]) if lines else None


if __name__ == "__main__":
    # What a library prints must not stand between answers.
    only_answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, only_answers)
