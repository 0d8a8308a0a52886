"""Entry points in processes of their own that share the seconds of importing PyTorch.

A test starts this file once and writes to it, one JSON object a line, what to run::

    {"module": "src.train", "arguments": ["run=x"], "output": "/tmp/out.txt"}

Each is run in a forked child as ``python -m <module> <arguments>`` would run it. Answers, a line
each: the child's process id when it starts, its exit code (negative: the signal) when it has ended.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import traceback
from typing import Any

import src.evaluate
import src.train  # noqa: F401 - the imports that take seconds


def run(job: dict[str, Any]) -> None:
    """Become the entry point; does not return."""
    # What a shell starts in the background ignores Ctrl-C, and so do all its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setpgid(0, 0)  # a group of its own: a signal to it reaches the workers, too
    output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, output), (2, output)):
        os.dup2(source, target)
    sys.argv = [job["module"], *job["arguments"]]
    code = 0
    try:
        sys.modules.pop(job["module"], None)  # or runpy warns
        runpy.run_module(job["module"], run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
