"""Twenty kills of a training and of a pipeline: ``python kills.py FOLDER [kills]``.

Each is run once undisturbed and once killed (SIGKILL to the process, at moments drawn by chance)
until that many kills have hit it, then to its end; weights, optimizer states and metrics must be
equal.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from src import checkpoint  # noqa: E402 - the project is run from its folder

DATA = [
    "data.generator.num_train=6", "data.generator.num_val=3", "data.generator.size=96",
    "data.num_workers=1", "data.val_long_side=96", "data.val_batch_size=3", "data.image_size=64",
    "data.batch_size=2", "trainer.accelerator=cpu", "num_pictures=0",
]  # fmt: skip
TRAINING = [*DATA, "trainer.max_epochs=120", "trainer.check_val_every_n_epoch=60", "logger=csv",
            "ema=exponential", "model=plain_small", "run=x"]  # fmt: skip
PIPELINE = [
    "name=tiny", "stages=[teacher,distil,search,finetune]",
    "dataset={data.root: DATA, data.generator.num_train: 16, data.generator.num_val: 4, "
    "data.generator.size: 96, data.image_size: 64, data.val_long_side: 96, data.num_workers: 0}",
    "options={teacher: {recipe.epochs: 2, recipe.warmup_steps: 0, recipe.validate_every: 2}, "
    "distil: {recipe.epochs: 2, recipe.warmup_steps: 0, recipe.validate_every: 2}, "
    "search: {hydra.sweeper.n_trials: 2, recovery.steps: 2, recovery.save_every: 1, "
    "recalibration.batches: 1, data.num_held_out: 8}, "
    "finetune: {recipe.epochs: 1, recipe.validate_every: 1}}",
]  # fmt: skip
"""Its teacher is trained in two processes."""
LONGEST = 5.0
"""Seconds between a checkpoint and a kill, at most."""


def start(command: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"src.{command}", *options], cwd=ROOT, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def to_the_end(command: str, folder: Path, *options: str) -> None:
    if (folder / "done").exists():  # by an earlier attempt of this script
        return
    process = start(command, *options, f"hydra.run.dir={folder}")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    (folder / "done").touch()


def written(folder: Path) -> float:
    """When a file was last written below a folder."""
    return max((file.stat().st_mtime for file in folder.rglob("*.ckpt")), default=0.0)


def killed(
    command: str, folder: Path, options: Sequence[str], again: Sequence[str], kills: int
) -> int:
    """Kill it so often, each time up to some seconds after it wrote a checkpoint, then end it.

    Returns:
        How often it was killed.
    """
    chance, done = random.Random(0), 0
    for attempt in range(2 * kills):
        if done == kills:
            break
        before = written(folder)
        more = again if attempt else []
        process = start(command, *options, f"hydra.run.dir={folder}", *more)
        while process.poll() is None and written(folder) <= before:
            time.sleep(0.1)
        time.sleep(chance.uniform(0, LONGEST))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            done += 1
        process.communicate()
        time.sleep(1)  # what it had started ends with it
    to_the_end(command, folder, *options, *again)
    return done


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other or one != one)


PARTS = ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "global_step")


def same_checkpoint(one: Path, other: Path) -> bool:
    ours, theirs = checkpoint.read(one), checkpoint.read(other)
    return all(equal(ours.get(part), theirs.get(part)) for part in PARTS)


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    data = f"data.root={folder}/data"

    whole, parts = folder / "training", folder / "training-killed"
    to_the_end("train", whole, *TRAINING, data)
    done = killed("train", parts, [*TRAINING, data], ["resume=true"], kills)
    last = Path("checkpoints") / "last.ckpt"
    print(json.dumps({
        "what": "training", "kills": done,
        "equal": same_checkpoint(whole / last, parts / last),
    }), flush=True)  # fmt: skip

    whole, parts = folder / "pipeline", folder / "pipeline-killed"
    options = [word.replace("DATA", str(folder / "pipeline-data")) for word in PIPELINE]
    to_the_end("pipeline", whole, *options)
    done = killed("pipeline", parts, options, [], kills)
    same = {
        stage: same_checkpoint(*(each / stage / last for each in (whole, parts)))
        for stage in ("teacher", "distil", "finetune")
    }
    print(json.dumps({
        "what": "pipeline", "kills": done, "equal": same,
    }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
