"""Machines that are too small, disks that are full, names with escapes: a sentence each."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import subprocess
import sys

import hydra
import pytest
import torch
from composing import complaint_of

from src.cli import command
from src.cli.errors import describe
from src.report.terminal import printable
from src.runs.files import replacing


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DataLoader worker (pid(s) 71) exited unexpectedly"),
        RuntimeError("DataLoader worker (pid 71) is killed by signal: Killed. "),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_machine_that_is_too_small(error, tmp_path):
    def task(config, folder):
        raise error

    said = complaint_of(task, "train", tmp_path, "run=a")
    assert said.startswith("expected ")
    assert "data.batch_size" in said
    assert "data.num_workers" in said


@pytest.mark.parametrize("error", [EOFError, ConnectionResetError, BrokenPipeError])
@pytest.mark.parametrize("loading", [True, False])
def test_a_killed_loader_shows_as_a_closed_pipe(error, loading, tmp_path):
    def fail():
        raise error(*([errno.ECONNRESET, "reset"] if issubclass(error, OSError) else []))

    def task(config, folder):
        if loading:  # a frame of PyTorch's loader on the way, which fetches batches
            for _ in torch.utils.data.DataLoader(_Failing(fail), batch_size=None):
                pass
        fail()

    if error is EOFError and not loading:
        with pytest.raises(EOFError):
            complaint_of(task, "train", tmp_path, "run=a")
        return
    said = complaint_of(task, "train", tmp_path, "run=a")
    assert said.startswith("expected the processes that load images to live") == loading
    assert ("resume=true run=a goes on from the last checkpoint" in said) == loading


class _Failing(torch.utils.data.Dataset):
    def __init__(self, fail):
        self.fail = fail

    def __len__(self):
        return 1

    def __getitem__(self, index):
        self.fail()


def test_other_errors_of_ours_keep_their_traceback(tmp_path):
    def task(config, folder):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        complaint_of(task, "train", tmp_path)


def test_a_full_disk(tmp_path):
    """PyTorch says "unexpected pos" there; what was there stays, what was begun goes."""
    file = tmp_path / "last.ckpt"
    file.write_text("good")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="No space") as caught, replacing(file) as partial:
            torch.save(torch.zeros(100_000), partial)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(file)
    assert file.read_text() == "good"
    assert os.listdir(tmp_path) == ["last.ckpt"]

    def task(config, folder):
        raise caught.value

    said = complaint_of(task, "train", tmp_path, "run=a")
    assert said.startswith(f"expected to read or write {file}, got 'No space left on device'")
    assert said.endswith("; resume=true run=a goes on from the last checkpoint")


def test_escapes_of_names_do_not_reach_the_terminal(tmp_path, capsys):
    name = "\x1b[31ma\x07\x9b2J.jpg"
    assert printable(name + "é\n") == "\\x1b[31ma\\x07\\x9b2J.jpgé\n"
    assert "\x1b" not in describe(ValueError(f"{name}: expected"))
    handler = logging.StreamHandler(sys.stdout)
    logging.getLogger().addHandler(handler)

    def task(config, folder):
        logging.getLogger("src").warning("%s: damaged", name)
        raise ValueError(f"expected another than {name}")

    try:
        assert "\x1b" not in complaint_of(task, "train", tmp_path)
    finally:
        logging.getLogger().removeHandler(handler)
    assert "\\x1b[31ma" in (said := capsys.readouterr().out)
    assert "\x1b" not in said


def test_names_that_are_not_utf8_are_escaped_in_every_log(tmp_path, capsys):
    name = os.fsdecode(b"caf\xe9.jpg")
    handler = logging.FileHandler(tmp_path / "train.log", encoding="utf-8")
    logging.getLogger().addHandler(handler)

    def task(config, folder):
        logging.getLogger("src").warning("left out: %s", name)
        raise ValueError(f"expected another than {name}")

    try:
        assert complaint_of(task, "train", tmp_path) == "expected another than caf\\udce9.jpg"
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    written = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert "left out: caf\\udce9.jpg" in written
    assert "ValueError: expected another than caf\\udce9.jpg" in written  # of the traceback
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_log_that_cannot_be_written_is_no_second_error(tmp_path, capsys):
    handler = logging.FileHandler("/dev/full")
    logging.getLogger().addHandler(handler)

    def task(config, folder):
        raise ValueError("expected something else")

    try:
        assert complaint_of(task, "train", tmp_path) == "expected something else"
    finally:
        logging.getLogger().removeHandler(handler)
        handler.stream = None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KeyboardInterrupt(), "stopped by Ctrl-C"),
        (PermissionError(13, "Permission denied", "outputs/x"),
         "error: expected to read or write outputs/x, got 'Permission denied'; .*"),
    ],
)  # fmt: skip
def test_before_the_task_begins(error, sentence, monkeypatch):
    def run():
        raise error

    monkeypatch.setattr(hydra, "main", lambda **_: lambda _: run)
    monkeypatch.setattr(sys, "argv", ["train"])
    previous = signal.getsignal(signal.SIGHUP)
    try:
        with pytest.raises(SystemExit, match=f"^{sentence}$"):
            command("train", lambda *_: None)()
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_a_closed_terminal_is_told_as_sigterm_is():
    program = (
        "import os, signal, sys; sys.argv = ['train']\n"
        "import hydra\nfrom src.cli import command\n"
        "hydra.main = lambda **_: lambda _: lambda: os.kill(os.getpid(), signal.SIGHUP)\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "command('train', lambda *_: None)()\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 7


def test_ctrl_c_while_a_command_is_imported():
    program = "import os, signal, sys; sys.argv[0] = '-m'; import src; os.kill(os.getpid(), 2)"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (1, "stopped by Ctrl-C\n")
