"""The processes of a run end with the first one, which alone writes what they did."""

from __future__ import annotations

import os
import select
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")

SECOND = "from src.runs.processes import end_with_first; end_with_first(); print('on'); input()"
FIRST = f"""
import os, subprocess, sys
from src.runs.processes import end_with_first
end_with_first()
second = subprocess.Popen([sys.executable, "-uc", {SECOND!r}], env={{**os.environ, "RANK": "1"}})
print(second.pid, flush=True)
input()
"""


def clean() -> dict[str, str]:
    ranks = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    return {key: value for key, value in os.environ.items() if key not in ranks}


def test_the_second_is_killed_with_the_first():
    first = subprocess.Popen(
        [sys.executable, "-c", FIRST], env=clean(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert first.stdout is not None
    assert first.stdout.readline().strip().isdecimal()
    assert first.stdout.readline() == "on\n"
    first.kill()
    # The second one, which waits for its input, had the same output.
    assert select.select([first.stdout], [], [], 30)[0]
    assert first.stdout.read() == ""


def test_one_that_begins_after_the_end_of_the_first_ends_at_once():
    variables = {**clean(), "RANK": "1", "FEATHERFACE_FIRST_PROCESS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", SECOND], env=variables, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, b"")
