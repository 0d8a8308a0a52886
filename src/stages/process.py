"""A command as a process of its own, which ends with ours."""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from src.runs.processes import end_with_parent


class StageFailed(ValueError):
    """A command that ended with an error; the message is its last line."""


def run_command(
    command: str,
    arguments: Sequence[str],
    say: Callable[[str], None],
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run ``python -m src.<command>`` and pass on what it says, line by line.

    Args:
        command: of this project.
        arguments: of the command line.
        say: is told each line.
        variables: of its environment, beside ours.

    Ctrl-C reaches it as it reaches us; where we are told to end (SIGTERM), or end without a word
    (Linux alone), it is told to end as well, and keeps what it has done.

    Raises:
        StageFailed: it ended with an error.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", f"src.{command}", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", cwd=Path.cwd(), preexec_fn=end_with_parent,
        env={**os.environ, **(variables or {})},
    )  # fmt: skip
    previous = signal.signal(signal.SIGTERM, lambda number, _: _pass_on(process, number))
    last: collections.deque[str] = collections.deque(maxlen=1)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                last.append(line.strip())
                say(line.rstrip())
        code = process.wait()
    except KeyboardInterrupt:  # it has been told, too: let it write what it has done
        process.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
    if code:
        raise StageFailed(last[0].removeprefix("error: ") if last else f"exit status {code}")


def _pass_on(process: subprocess.Popen[str], number: int) -> None:
    process.send_signal(number)
    process.wait()
    raise SystemExit(128 + number)
