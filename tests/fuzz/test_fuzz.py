"""Damaged files of every format are read or refused in a sentence that names them.

``make fuzz N=10000`` tries so many, in equal parts; input K of a format is the same in every run.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import cv2
import pytest

from .children import try_all
from .formats import FORMATS
from .mutation import damaged

NUMBER = int(os.environ.get("FUZZ_INPUTS", "300"))
"""Of all formats together."""


@pytest.mark.fuzz
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(name: str, tmp_path: Path, record_property) -> None:
    form = FORMATS[name]
    files = form.make(tmp_path)
    sound = {file: file.read_bytes() for file in files}
    form.read(tmp_path)
    cv2.setNumThreads(0)  # a forked process has no other threads

    def trial(number: int) -> str:
        rng = random.Random(f"{name} {number}")
        for file, content in sound.items():
            file.write_bytes(content)
        file = rng.choice(files)
        if form.open_up is None or form.close is None:
            file.write_bytes(damaged(sound[file], rng))
        else:
            part = damaged(form.open_up(sound[file]), rng)
            file.write_bytes(form.close(part, sound[file]))
        try:
            form.read(tmp_path)
        except (ValueError, OSError) as error:
            if str(tmp_path) not in str(error):
                raise
            return "refused"
        return "read"

    try:
        outcomes, faults = try_all(trial, range(max(1, NUMBER // len(FORMATS))))
    finally:
        cv2.setNumThreads(-1)
    record_property("outcomes", dict(outcomes))
    print(f"{name}: {dict(outcomes)}")
    assert not faults, "\n".join(faults[:20])
