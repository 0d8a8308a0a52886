"""Seconds from the shell to the faces of a photo: ``time_photo.py photo.jpg NAME:ENV=COMMAND ...``.

Each command is run with the photo's name in place of ``PHOTO``. Cold: its environment, the folder
``ENV`` of ``NAME:ENV=COMMAND``, is not in the page cache. Warm: it is. The commands take turns.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import tempfile
import time
from pathlib import Path


def evict(folder: Path) -> None:
    """Ask the kernel to forget the content of all files below."""
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            handle = os.open(file, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def seconds(command: list[str], cwd: str) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("commands", nargs="+", metavar="NAME:ENV=COMMAND")
    parser.add_argument("--cold", type=int, default=3, help="cold runs of each")
    parser.add_argument("--warm", type=int, default=10, help="warm runs of each")
    given = parser.parse_args()
    commands = {}
    for text in given.commands:
        place, _, command = text.partition("=")
        name, _, folder = place.partition(":")
        words = shlex.split(command.replace("PHOTO", str(given.photo.resolve())))
        commands[name] = (words, Path(folder))
    times: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as cwd:
        for kind, count in (("cold", given.cold), ("warm", given.warm)):
            for _ in range(count):
                for name, (words, folder) in commands.items():
                    if kind == "cold":
                        evict(folder)
                    times.setdefault((name, kind), []).append(seconds(words, cwd))
    for (name, kind), values in sorted(times.items()):
        middle = statistics.median(values)
        print(
            f"{name:24} {kind}  median {middle:6.2f} s  best {min(values):6.2f} s  n={len(values)}"
        )


if __name__ == "__main__":
    main()
