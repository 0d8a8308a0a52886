"""Optuna's dashboard reads the journal of a study."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

pytestmark = pytest.mark.slow


def test_dashboard_lists_the_study(toy):
    pytest.importorskip("optuna_dashboard", reason="no optuna-dashboard")
    toy.run("shown", "hydra/sweeper/sampler=tpe", "hydra.sweeper.n_trials=3")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-c", "from optuna_dashboard._cli import main; main()",
         str(toy.sweep("shown") / "journal.log"), "--host", "localhost", "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        address = f"http://localhost:{port}/api/studies"
        end = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(address, timeout=5) as answer:
                    studies = json.load(answer)
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < end
                time.sleep(0.2)
    finally:
        server.kill()
        server.wait()
    assert [study["study_name"] for study in studies["study_summaries"]] == ["shown"]
