"""Runs as processes: killed, interrupted, on two devices, several in one command."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from src import checkpoint
from src.synthetic import SyntheticSpec, generate

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
EPOCHS = ("trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2")
MID_EPOCH = ("trainer.max_epochs=9", "trainer.max_steps=5", "trainer.check_val_every_n_epoch=1")


class Launcher:
    """Runs entry points as processes, one at a time; see ``tests/launcher.py``."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output.txt"
        self.server = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "launcher.py")],
            cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __call__(
        self,
        module: str,
        arguments: Sequence[str],
        disturb: Callable[[int], None] = lambda process: None,
    ) -> int:
        """The exit code of ``python -m module arguments``; ``disturb`` gets its process group."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.output.unlink(missing_ok=True)
        job = {"module": module, "arguments": list(arguments), "output": str(self.output)}
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        process = int(self.server.stdout.readline())
        thread = threading.Thread(target=disturb, args=(process,), daemon=True)
        thread.start()
        code = int(self.server.stdout.readline())
        thread.join()
        return code


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path_factory.mktemp("launcher"))
    yield launcher
    assert launcher.server.stdin is not None
    launcher.server.stdin.close()
    launcher.server.wait()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name a tiny generated tree and cheap settings."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    generate(root, SyntheticSpec(num_train=6, num_val=3, size=96), num_workers=0)
    return [
        f"data.root={root}",
        "data.generator.num_train=6",
        "data.generator.num_val=3",
        "data.generator.size=96",
        "data.num_workers=0",
        "data.val_long_side=96",
        "data.val_batch_size=2",
        "trainer.accelerator=cpu",
    ]


@pytest.fixture(scope="module")
def training(data: list[str]) -> list[str]:
    return [*data, "data.image_size=64", "data.batch_size=2", "logger=csv", "num_pictures=0"]


def after(seconds: float) -> Callable[[int], None]:
    """Kill the process and its workers then."""

    def disturb(process: int) -> None:
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):  # it was faster
            os.killpg(process, signal.SIGKILL)

    return disturb


def when(path: Path, kill: signal.Signals = signal.SIGKILL) -> Callable[[int], None]:
    """Signal the process as soon as there is such a file."""

    def disturb(process: int) -> None:
        deadline = time.monotonic() + 60
        with contextlib.suppress(ProcessLookupError):
            while not path.exists() and time.monotonic() < deadline:
                os.kill(process, 0)
                time.sleep(0.0005)
            os.killpg(process, kill) if kill == signal.SIGKILL else os.kill(process, kill)
            # Python drops a Ctrl-C that falls into a destructor; a person presses it again.
            while kill == signal.SIGINT and time.monotonic() < deadline:
                for _ in range(50):
                    time.sleep(0.1)
                    os.kill(process, 0)
                os.kill(process, kill)

    return disturb


STATES = ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "global_step")
"""Parts of a checkpoint that do not tell how often it was interrupted."""


def leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value of nested tables and lists, by the way to it."""
    if isinstance(node, dict | list | tuple):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(value, f"{path}/{key}")
    else:
        yield path, node


def results(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Weights, optimizer and schedule of the final checkpoints, and the metrics."""
    values = {
        name: value
        for file in ("last", "best")
        for key, state in checkpoint.read(folder / "checkpoints" / f"{file}.ckpt").items()
        if key in STATES
        for name, value in leaves(state, f"{file}/{key}")
    }
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["checkpoint"]
    return values, metrics


def equal(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def assert_same_results(a: Path, b: Path) -> None:
    (ours, our_metrics), (theirs, their_metrics) = results(a), results(b)
    assert ours.keys() == theirs.keys()
    assert any("exp_avg" in name for name in ours)
    assert [name for name in ours if not equal(ours[name], theirs[name])] == []
    assert our_metrics == their_metrics
    assert logged(a) == logged(b)


def logged(folder: Path) -> list[tuple[str, ...]]:
    """Step and values of every line of the log."""
    with (folder / "metrics.csv").open(newline="") as stream:
        return [
            tuple(row[name] for name in row if name != "epoch") for row in csv.DictReader(stream)
        ]


@pytest.mark.parametrize(
    ("options", "num_kills"),
    [
        (EPOCHS, 4),
        ((*MID_EPOCH, "ema=exponential"), 3),
        ((*EPOCHS, "data.num_workers=2"), 2),
    ],
    ids=["epochs", "averaged-steps", "workers"],
)
def test_killed_anywhere_and_resumed_equals_uninterrupted(
    launch, training, tmp_path, options, num_kills
):
    def train(folder, *more, disturb=lambda process: None):
        arguments = [*training, *options, "run=x", f"hydra.run.dir={folder}", *more]
        return launch("src.train", arguments, disturb)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    began = time.monotonic()
    assert train(whole) == 0, launch.output.read_text()
    duration = time.monotonic() - began

    dice = random.Random(0)
    moments = [after(0.2 * duration)]  # before the first checkpoint
    moments += [when(parts / "checkpoints" / "last.ckpt.partial")]  # while it is written
    moments += [after(dice.uniform(0.3, 0.9) * duration) for _ in range(num_kills - 2)]
    codes = [
        train(parts, *["resume=true"][:number], disturb=disturb)
        for number, disturb in enumerate(moments)
    ]
    # A process that was faster than its end has code 0; the first cannot be.
    assert set(codes) <= {-signal.SIGKILL, 0}
    assert codes[0] == -signal.SIGKILL
    assert train(parts, "resume=true") == 0, launch.output.read_text()
    assert_same_results(whole, parts)
    assert not list(parts.rglob("*.partial"))


def test_killed_in_the_final_evaluation(launch, training, tmp_path):
    options = [*training, *MID_EPOCH, "trainer.check_val_every_n_epoch=5", "ema=exponential"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert launch("src.train", [*options, "run=x", f"hydra.run.dir={whole}"]) == 0
    first = [*options, "run=x", f"hydra.run.dir={parts}"]
    # Nothing is validated before the end, so the best is written by the final evaluation.
    stop = when(parts / "checkpoints" / "best.ckpt.partial")
    assert launch("src.train", first, stop) == -signal.SIGKILL
    assert checkpoint.read(parts / "checkpoints" / "last.ckpt")["global_step"] == 5
    assert launch("src.train", [*first, "resume=true"]) == 0
    assert_same_results(whole, parts)
    # Of a finished run resume=true only repeats the evaluation.
    assert launch("src.train", [*first, "resume=true"]) == 0
    assert_same_results(whole, parts)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on(launch, training, tmp_path, kind):
    arguments = [*training, *EPOCHS, "trainer.max_epochs=999", "run=x", f"hydra.run.dir={tmp_path}"]
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert launch("src.train", arguments, when(last, kind)) == 1
    output = launch.output.read_text()
    assert "resume=true run=x continues" in output.splitlines()[-1]
    assert "Traceback" not in output
    step = checkpoint.read(last)["global_step"]
    more = f"trainer.max_steps={step + 3}"  # an epoch
    shorter = [more, "resume_anyway=[trainer.max_steps]"]
    assert launch("src.train", [*arguments, *shorter, "resume=true"]) == 0
    assert checkpoint.read(last)["global_step"] == step + 3


def test_a_failing_job_does_not_end_the_others(launch, training, tmp_path):
    # W&B without an account: the second run of a process would go on with the first one's.
    arguments = ["-m", *training, "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1"]
    arguments += ["seed=0,-1,1", f"hydra.sweep.dir={tmp_path}", "trainer.log_every_n_steps=1"]
    arguments += ["logger=wandb", "num_pictures=1"]
    assert launch("src.train", arguments) == 1
    output = launch.output.read_text()
    assert "job 1 stopped: expected seed to be a whole number from 0 to 4294967295, got" in output
    assert "Traceback" not in output
    assert not (tmp_path / "1" / "metrics.json").exists()
    assert "Traceback" in (tmp_path / "1" / "train.log").read_text()
    (first, _), (second, _) = results(tmp_path / "0"), results(tmp_path / "2")
    assert any(not equal(first[name], second[name]) for name in first)
    columns = [(tmp_path / str(job) / "metrics.csv").read_text() for job in (0, 2)]
    assert columns[0] != columns[1]
    tracked = [list((tmp_path / job / "wandb").glob("offline-run-*")) for job in ("0", "2")]
    assert [len(found) for found in tracked] == [1, 1]
    assert tracked[0][0].name != tracked[1][0].name
    assert not (ROOT / "wandb").exists()


# Two devices


WATCHED_TRAINING = """
import json, os, runpy, sys
from src.training import DetectorModule

step = DetectorModule.training_step
def watched(self, batch, batch_idx):
    with open(f"{self.trainer.default_root_dir}/seen_{self.global_rank}.jsonl", "a") as file:
        rate = self.optimizers().param_groups[0]["lr"]
        print(json.dumps([self.current_epoch, batch.names, rate]), file=file)
    return step(self, batch, batch_idx)
DetectorModule.training_step = watched
"""


def run(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m module arguments`` as users start it."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def test_two_processes_train_as_one(launch, training, data, tmp_path):
    # Every Python process imports this: the second one is started by Lightning.
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import sys\nif 'src.train' in sys.orig_argv:\n"
        + "".join(f"    {line}\n" for line in WATCHED_TRAINING.strip().splitlines())
    )
    path = os.pathsep.join([str(site), str(ROOT)])
    folder = tmp_path / "run"
    arguments = [
        *training, "trainer=ddp", "trainer.devices=2", "data.batch_size=1", "data.val_batch_size=1",
        "trainer.check_val_every_n_epoch=1", "run=x", f"hydra.run.dir={folder}",
        "schedule.warmup_steps=0",
    ]  # fmt: skip
    # Three images to validate: one process has a batch more than the other.
    first = run("src.train", *arguments, "trainer.max_epochs=1", PYTHONPATH=path)
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert [line for line in first.stdout.splitlines() if "AP easy" in line][1:] == []
    again = run("src.train", *arguments, "trainer.max_epochs=2", "resume=true", PYTHONPATH=path)
    assert again.returncode == 0, again.stderr

    command = json.loads((folder / "run.json").read_text())["command"]
    assert command.startswith("python -m src.train data.root=")
    seen = [
        json.loads(line)
        for rank in (0, 1)
        for line in (folder / f"seen_{rank}.jsonl").read_text().splitlines()
    ]
    for epoch in (0, 1):
        names = [name for e, batch, _ in seen for name in batch if e == epoch]
        assert len(names) == len(set(names)) == 6
    # 1e-3 is for 32 images a step; here a step sees one image on each of two devices.
    assert [rate for _, _, rate in seen] == pytest.approx([1e-3 * 2 / 32] * len(seen))
    with (folder / "metrics.csv").open() as stream:
        validated = [int(row["step"]) for row in csv.DictReader(stream) if row["val/ap"]]
    assert validated == [2, 5]

    best = folder / "checkpoints" / "best.ckpt"
    alone = tmp_path / "alone"
    code = launch(
        "src.evaluate",
        [*data, "data.val_batch_size=1", f"checkpoint={best}", f"hydra.run.dir={alone}"],
    )
    assert code == 0, launch.output.read_text()
    ours = json.loads((folder / "metrics.json").read_text())
    theirs = json.loads((alone / "metrics.json").read_text())
    for name in ("ap_easy", "ap_medium", "ap_hard", "ap"):
        assert ours[name] == pytest.approx(theirs[name], abs=1e-6)


def test_two_processes_distil_as_one(launch, training, data, weights, tmp_path):
    folder, alone = tmp_path / "run", tmp_path / "alone"
    result = run(
        "src.train", *training, "trainer=ddp", "trainer.devices=2", "data.batch_size=1",
        "data.val_batch_size=1", "kd=feature", f"kd.teacher={weights}", "trainer.max_epochs=1",
        "trainer.check_val_every_n_epoch=1", "run=x", f"hydra.run.dir={folder}",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    with (folder / "metrics.csv").open() as stream:
        (row,) = [row for row in csv.DictReader(stream) if row["val/ap"]]
    # Each process measured the teacher on its share of the images.
    options = [*data, "data.val_batch_size=1", f"checkpoint={weights}", f"hydra.run.dir={alone}"]
    assert launch("src.evaluate", options) == 0, launch.output.read_text()
    metrics = json.loads((alone / "metrics.json").read_text())
    for name in ("ap_easy", "ap_medium", "ap_hard", "ap"):
        assert float(row[f"val/teacher_{name}"]) == pytest.approx(metrics[name], abs=1e-6)


def test_two_processes_on_the_cpu_go_on_as_if_never_stopped(training, tmp_path):
    options = [*training, "trainer=processes", "trainer.check_val_every_n_epoch=1", "run=x"]
    for folder, epochs in (("whole", [2]), ("parts", [1, 2])):
        for part in epochs:
            more = [f"trainer.max_epochs={part}", f"hydra.run.dir={tmp_path / folder}"]
            result = run("src.train", *options, *more, *["resume=true"] * (part > epochs[0]))
            assert result.returncode == 0, result.stderr
            # The batch of two is shared: 1e-3 is for 32 images.
            assert "learning rate 6.25e-05 for 2 images per step" in result.stdout
    assert_same_results(tmp_path / "whole", tmp_path / "parts")


def second_of(first: subprocess.Popen[bytes]) -> int:
    """The process that Lightning started beside the first one of a run."""
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children")
    while first.poll() is None:
        for child in children.read_text().split():
            with contextlib.suppress(OSError):  # it was something else, and has ended
                if b"\0LOCAL_RANK=1\0" in b"\0" + Path(f"/proc/{child}/environ").read_bytes():
                    return int(child)
        time.sleep(0.01)
    pytest.fail(f"the first process ended with {first.returncode}")


def is_running(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return status != "Z"  # ended; nobody has asked how


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
@pytest.mark.parametrize("later", [0.0, 8.0], ids=["importing", "waiting"])
def test_the_second_process_ends_with_the_first(training, tmp_path, later):
    options = [*training, "trainer=processes", "run=x", f"hydra.run.dir={tmp_path}"]
    first = subprocess.Popen(
        [sys.executable, "-m", "src.train", *options, "trainer.max_epochs=999"],
        cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    second = second_of(first)
    time.sleep(later)
    first.kill()
    first.wait()
    try:
        for _ in range(600):
            if not is_running(second):
                return
            time.sleep(0.1)
        pytest.fail("the second process still runs")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(second, signal.SIGKILL)


# What a user sees


def test_a_mistake_is_one_line_and_code_1(launch, training, tmp_path):
    folder = tmp_path / "run"
    arguments = [*training, f"hydra.run.dir={folder}", "data=widerface", "data.root=/nowhere"]
    assert launch("src.train", [a for a in arguments if "generator" not in a]) == 1
    (line,) = launch.output.read_text().splitlines()
    assert line.startswith("error: expected a folder of WIDER FACE at /nowhere, found none; set")
    assert "Traceback" in (folder / "train.log").read_text()


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("model=nano_z", r"model= of checkpoint, featherface_v1, .*nano_b, .*; got 'nano_z'"),
        ("trainer.epochs=3", r"a setting of trainer among .*max_epochs, .*; got 'epochs'"),
    ],
)
def test_unknown_names_are_refused(launch, training, tmp_path, argument, sentence):
    assert launch("src.train", [*training, f"hydra.run.dir={tmp_path}/run", argument]) == 1
    (line,) = launch.output.read_text().splitlines()
    assert re.fullmatch(f"error: expected {sentence}", line)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "module",
    [
        *["train", "prune", "sweep_pruning", "evaluate", "measure", "predict"],
        *["export", "check_data", "summary", "compare"],
    ],
)
def test_help_begins_with_commands(launch, module):
    assert launch(f"src.{module}", ["--help"]) == 0
    text = launch.output.read_text()
    assert text.index(f"  python -m src.{module} ") < text.index("Groups") < text.index("Settings")
    assert "\ntrainer: cpu, ddp, default" in text
    assert "docs/" in text.strip().splitlines()[-1]
