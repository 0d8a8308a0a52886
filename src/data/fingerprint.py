"""What a data set is, in one number: names of its images, content of its labels."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from src.images.files import IMAGE_SUFFIXES

LABELS = (".txt", ".json", ".yaml", ".yml", ".csv", ".mat", ".xml")
"""Suffixes of files whose content counts. Of images their names and sizes do: reading them all
takes minutes, and another image hardly ever has the same number of bytes."""


def data_fingerprint(root: Path) -> str:
    """SHA-256 over a data set's files, whatever its layout; of an absent folder that of nothing."""
    digest = hashlib.sha256()
    for path in _files(root):
        suffix = path.suffix.lower()
        if suffix not in LABELS and suffix not in IMAGE_SUFFIXES:
            continue
        try:
            found = path.stat()
        except OSError:  # a link to nothing
            continue
        if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait for ever
            continue
        digest.update(os.fsencode(path.relative_to(root).as_posix()) + b"\0")
        content = path.read_bytes() if suffix in LABELS else str(found.st_size).encode()
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    """All files below a folder in the order of their names; linked folders once."""
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        place = os.path.realpath(folder)
        if place in seen:  # a link to a folder around it
            folders.clear()
            continue
        seen.add(place)
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names))
