from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import optuna
import pytest

from src.search.storage import JOURNAL, open_storage


def study(storage: str | None, folder: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name="s", storage=open_storage(storage, folder), load_if_exists=True
    )


def finish(storage: str | None, folder: Path, count: int) -> None:
    for value in range(count):
        own = study(storage, folder)
        own.tell(own.ask(), float(value))


@pytest.mark.parametrize(
    ("storage", "file"),
    [
        (None, "sweep/journal.log"),
        ("other/kept.log", "other/kept.log"),
        ("sqlite:///kept.db", "kept.db"),
    ],
)
def test_places(tmp_path, monkeypatch, storage, file):
    monkeypatch.chdir(tmp_path)
    finish(storage, Path("sweep"), 1)
    assert (tmp_path / file).exists()
    assert [trial.value for trial in study(storage, Path("sweep")).trials] == [0]


def test_a_line_cut_in_the_middle_is_dropped(tmp_path):
    finish(None, tmp_path, 3)
    journal = tmp_path / JOURNAL
    whole = journal.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in {last + 1, (last + len(whole)) // 2, len(whole) - 1}:
        journal.write_bytes(whole[:cut])
        trials = study(None, tmp_path).trials  # one process, and the next ones
        finish(None, tmp_path, 1)
        assert [trial.number for trial in study(None, tmp_path).trials] == [*range(len(trials)), 3]


@pytest.mark.parametrize("content", [b"", b"{"])
def test_a_journal_without_a_line(tmp_path, content):
    (tmp_path / JOURNAL).write_bytes(content)
    finish(None, tmp_path, 1)
    assert len(study(None, tmp_path).trials) == 1


def test_several_processes_open_it_together(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=finish, args=(None, tmp_path, 3)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert [trial.number for trial in study(None, tmp_path).trials] == list(range(12))


def test_a_process_killed_while_it_writes_holds_up_nobody(tmp_path):
    finish(None, tmp_path, 1)

    def write() -> None:
        os.fsync = lambda file: time.sleep(60)  # killed with the line written and the lock held
        with contextlib.suppress(Exception):
            study(None, tmp_path).ask()

    writer = multiprocessing.get_context("fork").Process(target=write)
    size = (tmp_path / JOURNAL).stat().st_size
    writer.start()
    end = time.monotonic() + 20
    while (tmp_path / JOURNAL).stat().st_size == size:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    start = time.monotonic()
    finish(None, tmp_path, 1)
    assert time.monotonic() - start < 5
    assert len(study(None, tmp_path).trials) == 2


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("grpc://localhost", "expected a storage as grpc://HOST:PORT, got 'grpc://localhost'"),
        ("nosuch://x/y", "expected a storage that can be opened, got 'nosuch://x/y'"),
        ("sqlite:////nowhere/at/all.db", "expected a storage that can be opened"),
    ],
)
def test_storages_that_cannot_be_opened(tmp_path, monkeypatch, storage, message):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(ValueError, match=message) as error:
        open_storage(storage, tmp_path)
    assert "\n" not in str(error.value)


def test_names_the_missing_driver(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(
        ValueError, match="expected the driver of postgresql to be installed"
    ) as error:
        open_storage("postgresql://localhost/x", tmp_path)
    assert "pip install 'psycopg[binary]'" in str(error.value)
