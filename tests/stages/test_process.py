"""A command of its own: what it says is passed on, and how it ends is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.stages import process


def test_lines_and_failure(monkeypatch):
    said: list[str] = []
    # The project's own package stands behind -m src.<command>: a mistake is the quickest of all.
    with pytest.raises(process.StageFailed, match="expected the name of an option for model"):
        process.run_command("summary", ["model=null"], said.append, {})
    assert said[-1].startswith("error: expected")


PARENT = """
import sys
from src.stages import process
process.sys = type("sys", (), {"executable": sys.argv[1], "platform": sys.platform})
process.run_command("x", [], lambda line: print(line, flush=True), {})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_does_not_outlive_its_pipeline(tmp_path, number):
    child = tmp_path / "command"
    child.write_text("#!/bin/sh\necho $$\nexec sleep 60\n")
    child.chmod(0o755)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(child)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(number)
    parent.wait(20)
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if status == "Z":  # ended; nobody has asked how
            return
        time.sleep(0.1)
    pytest.fail("the command still runs")
