"""What the commands share: which network looks, and how a wrong option is answered."""

from __future__ import annotations

import argparse
from typing import NoReturn

from featherface.terminal import printable

REFUSED = 2
"""Exit code of a command that cannot be done."""


class Parser(argparse.ArgumentParser):
    """Answers a mistake in one sentence, without the usage in front."""

    def error(self, message: str) -> NoReturn:
        """Leave with that sentence."""
        self.exit(REFUSED, f"error: {printable(message)}; see {self.prog} --help\n")


def add_detector_options(parser: argparse.ArgumentParser) -> None:
    """The options that make a detector, and whether its landmarks are wanted."""
    add = parser.add_argument
    add("--landmarks", action="store_true", help="give landmarks as well as boxes; "
        "of the networks inside, README.md says whether they are trained")  # fmt: skip
    add("--threshold", type=float, default=0.5, help="lowest score, 0 to 1 (default: %(default)s)")
    add("--size", type=int, metavar="PIXELS",
        help="resize to this longer side; without it the size is kept")  # fmt: skip
    add("--model", default="flagship", help="a network inside the package, or an ONNX file that "
        "src.export decode=true wrote (default: %(default)s)")  # fmt: skip
    add("--providers", type=lambda text: text.split(","), metavar="NAME,...",
        help="of ONNX Runtime, best first, such as cuda,cpu (default: cpu)")  # fmt: skip


def not_listening(host: str, port: int, error: OSError) -> OSError:
    """What to say of an address that cannot be listened at."""
    return OSError(
        f"expected a free port {port} at {host}, got: {error.strerror}; set another --port or 0"
    )
