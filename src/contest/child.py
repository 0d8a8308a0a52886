"""A contender in a process of its own, so that its memory can be measured and others can go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""Where ``src`` is, whatever another ``src`` the working folder has."""


class Child:
    """Starts ``python -m src.contest.serve`` and asks it.

    Args:
        name: of the contender, for errors.
        question: ``entry``, ``decoder`` (settings of it) and ``threads``.

    Raises:
        ValueError: the network cannot be loaded or means nothing known; or later, ask after ask, it
            cannot be run.
    """

    def __init__(self, name: str, **question: Any) -> None:
        self.name = name
        threads = str(question["threads"])
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONSAFEPATH": "1",
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-m", "src.contest.serve"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        try:
            self.ask(**question)
        except BaseException:
            self.close()
            raise

    def ask(self, **question: Any) -> dict[str, Any]:
        """Its answer.

        ``image=FILE, rows=False`` -> ``seconds`` of the three steps (prepare, network, faces) and
        ``memory``, bytes: the largest since the process had loaded the packages that all share,
        and how much of it the runtime, the network and its images added; None where the system
        does not tell. With ``rows=True`` also ``rows`` [K, 5] (x, y, w, h, score), best first.

        Raises:
            ValueError: the sentence that tells why not.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise ValueError(
                f"expected {self.name} to run, but its process ended with status "
                f"{self._process.wait()}; it may lack memory"
            )
        said = json.loads(answer)
        if "error" in said:
            raise ValueError(f"{self.name}: {said['error']}")
        return said

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                stream.close()
        self._process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
