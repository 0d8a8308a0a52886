"""FeatherFace: train, distil, prune, search and measure small face detectors."""

import os
import signal
import sys
from typing import Any


def stopped(*_: Any) -> None:
    """Ctrl-C in the seconds in which a command is imported: nothing has begun that could be lost.

    At once, for an extension module that is interrupted raises whatever it likes.
    """
    os.write(2, b"stopped by Ctrl-C\n")
    os._exit(1)


if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, stopped)  # python -m src.train; src.cli.command takes it back
