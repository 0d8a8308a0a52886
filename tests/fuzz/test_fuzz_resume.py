"""Damaged checkpoints of trainings, of every part: a training goes on from none of them, or as if
nothing were, and names the file.

A sealed one tells every change; one of a version without seals is tried in a training of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from composing import TINY_DATA, compose_run, forget_run

from src import checkpoint
from src.train import train
from src.training.integrity import KEY, sealed
from src.training.resuming import read_training

from .children import try_all
from .structure import restructured
from .test_fuzz import NUMBER

OPTIONS = [
    *TINY_DATA, "data.image_size=64", "data.batch_size=2", "trainer.accelerator=cpu", "logger=csv",
    "num_pictures=0", "+model.channels=8", "+model.bifpn_repeats=1", "+model.context=conv3x3",
    "ema=exponential", "trainer.max_epochs=9", "run=x",
]  # fmt: skip


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder of a training of two steps, and its last checkpoint."""
    folder = tmp_path_factory.mktemp("resume")
    options = [*OPTIONS, f"data.root={folder}/data", "trainer.max_steps=2"]
    train(compose_run("train", folder / "run", *options), folder / "run")
    yield folder, checkpoint.read(folder / "run" / "checkpoints" / "last.ckpt")
    forget_run()


@pytest.mark.fuzz
@pytest.mark.slow
def test_sealed_checkpoints_of_another_structure(begun, tmp_path):
    _, content = begun
    file = tmp_path / "last.ckpt"

    def trial(number: int) -> str:
        changed = restructured(content, random.Random(f"sealed {number}"))
        torch.save(changed, file)
        try:
            found = read_training(file)
        except ValueError as error:
            if str(file) not in str(error):
                raise
            return "refused"
        assert KEY not in found or sealed(found)[KEY] == content[KEY]  # nothing was changed
        return "read"

    outcomes, faults = try_all(trial, range(max(40, NUMBER // 20)))
    print(f"sealed: {dict(outcomes)}")
    assert not faults, "\n".join(faults[:20])
    assert outcomes["refused"] > outcomes["read"]


@pytest.mark.fuzz
@pytest.mark.slow
def test_checkpoints_of_another_structure_without_a_seal(begun):
    folder, content = begun
    content = {key: value for key, value in content.items() if key != KEY}
    last = folder / "run" / "checkpoints" / "last.ckpt"
    options = [*OPTIONS, f"data.root={folder}/data", "trainer.max_steps=4", "resume=true"]

    def trial(number: int) -> str:
        torch.save(restructured(content, random.Random(f"unsealed {number}")), last)
        config = compose_run("train", folder / "run", *options)
        try:
            train(config, folder / "run")
        except (ValueError, FloatingPointError) as error:
            # Of values that are no longer finite the training itself tells.
            if str(last) not in str(error) and not isinstance(error, FloatingPointError):
                raise
            return "refused"
        return "read"

    outcomes, faults = try_all(trial, range(max(30, NUMBER // 100)))
    print(f"unsealed: {dict(outcomes)}")
    assert not faults, "\n".join(faults[:20])
