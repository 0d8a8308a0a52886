"""What a data set is, in one number: names of its images, content of its labels."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from src.images.files import IMAGE_SUFFIXES

LABELS = (".txt", ".json", ".yaml", ".yml", ".csv", ".mat", ".xml")
"""Suffixes of files whose content counts. Of images their names and sizes do: reading them all
takes minutes, and another image hardly ever has the same number of bytes."""


def data_fingerprint(root: Path) -> str:
    """SHA-256 over a data set's files, whatever its layout; of an absent folder that of nothing."""
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(root, followlinks=True):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            suffix = path.suffix.lower()
            if suffix not in LABELS and suffix not in IMAGE_SUFFIXES:
                continue
            digest.update(os.fsencode(path.relative_to(root).as_posix()) + b"\0")
            content = path.read_bytes() if suffix in LABELS else str(path.stat().st_size).encode()
            digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
