"""Faults of the machine, real ones: a full disk, a killed loader, two at once, and long work.

experiments/011-hardening has the long versions.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from composing import composed

from src import checkpoint
from src.images.video import VideoWriter
from src.predict import predict
from src.prediction.journal import Journal
from src.synthetic import SyntheticSpec, generate
from src.synthetic.scene import draw_scene

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 2**20
SMALL = ["model=plain", "model.stem=4", "model.stages=[4,4,4,4]", "model.blocks=[0,0,0,0]",
         "model.channels=4"]  # fmt: skip


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a tiny training of sixty epochs."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    generate(root, SyntheticSpec(num_train=6, num_val=3, size=96), num_workers=0)
    return [
        *SMALL, f"data.root={root}", "data.generator.num_train=6", "data.generator.num_val=3",
        "data.generator.size=96", "data.num_workers=0", "data.val_long_side=96",
        "data.image_size=64", "data.batch_size=2", "trainer.accelerator=cpu", "logger=csv",
        "num_pictures=0", "trainer.max_epochs=60", "trainer.check_val_every_n_epoch=60", "run=x",
    ]  # fmt: skip


def start(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "src.train", *options], cwd=ROOT, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    while not file.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no right to mount a disk; tests/cli/test_errors.py has a limit instead")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the space that is left."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    return filler


def test_a_full_disk_ends_a_training_in_a_sentence_and_it_goes_on(training, disk, tmp_path):
    whole, run = tmp_path / "whole", disk / "run"
    last = run / "checkpoints" / "last.ckpt"
    process = start(*training, f"hydra.run.dir={run}")
    wait_for(last, process)
    filler = fill(disk)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    (line,) = errors.strip().splitlines()
    assert re.match(r"error: expected (to read or write|space on the disk of) ", line), line
    assert line.endswith("resume=true run=x goes on from the last checkpoint")
    assert str(run) in line
    assert checkpoint.read(last)["global_step"] < 180
    assert not list(run.rglob("*.partial"))

    filler.unlink()
    for folder, more in ((run, ["resume=true"]), (whole, [])):
        process = start(*training, f"hydra.run.dir={folder}", *more)
        _, errors = process.communicate(timeout=240)
        assert (process.returncode, errors) == (0, "")
    ours, theirs = (checkpoint.read(f / "checkpoints" / "last.ckpt") for f in (whole, run))
    assert all(torch.equal(ours["state_dict"][k], v) for k, v in theirs["state_dict"].items())


def test_a_killed_loader_ends_a_training_in_a_sentence(training, tmp_path):
    process = start(*training, f"hydra.run.dir={tmp_path}", "data.num_workers=1")
    wait_for(tmp_path / "checkpoints" / "last.ckpt", process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:  # loaders come and go with the epochs
        for child in children.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        time.sleep(0.05)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = errors.strip().splitlines()
    assert line.startswith("error: expected the processes that load images to live, got one that")
    assert line.endswith("resume=true run=x goes on from the last checkpoint")


def test_of_two_at_once_in_a_folder_one_trains(training, tmp_path):
    seeds = ("1", "2")
    both = [start(*training, f"hydra.run.dir={tmp_path}", f"seed={seed}") for seed in seeds]
    ended = [process.communicate(timeout=240)[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], ended
    (line,) = ended[codes.index(1)].strip().splitlines()
    assert re.match(r"error: expected (no other process in|an empty run folder, got) ", line), line
    winner = seeds[codes.index(0)]
    assert f"\nseed: {winner}\n" in (tmp_path / "config.yaml").read_text()
    assert json.loads((tmp_path / "run.json").read_text())["seed"] == int(winner)


def memory() -> int:
    """Megabytes that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // MEGABYTE


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Memory after every photograph and every frame."""
    found: list[int] = []
    for owner, name in ((Journal, "add"), (VideoWriter, "write")):
        own = getattr(owner, name)

        def watched(self, item, own=own):
            own(self, item)
            found.append(memory())

        monkeypatch.setattr(owner, name, watched)
    return found


def test_memory_stays_while_many_photographs_are_looked_at(measured, tmp_path):
    source = tmp_path / "photos"
    source.mkdir()
    scene = draw_scene(np.random.default_rng((5, 0)), "Group", 160).image
    rng = np.random.default_rng(0)
    for number in range(400):  # libraries keep what they prepared for the last 300 sizes or so
        height, width = map(int, rng.integers(60, 260, 2))
        cv2.imwrite(str(source / f"{number:03}.jpg"), cv2.resize(scene, (width, height)))
    options = [f"source={source}", "checkpoint=flagship", "device=cpu"]
    with composed("predict", tmp_path / "run", *options) as config:
        found = predict(config, tmp_path / "run")
    assert len(measured) == len(found["files"]) == 400
    assert not [entry for entry in found["files"] if "error" in entry]
    assert max(measured[300:]) < max(measured[:300]) + 32


def test_memory_stays_while_a_long_video_is_looked_at(measured, tmp_path):
    scene = draw_scene(np.random.default_rng((5, 0)), "Group", 160).image
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25,
                             (scene.shape[1], scene.shape[0]))  # fmt: skip
    for _ in range(300):
        writer.write(scene)
    writer.release()
    options = [f"source={tmp_path}/a.avi", "checkpoint=flagship", "device=cpu"]
    with composed("predict", tmp_path / "run", *options) as config:
        (entry,) = predict(config, tmp_path / "run")["files"]
    assert len(entry["frames"]) == 300
    assert max(measured[150:300]) < max(measured[:150]) + 16
