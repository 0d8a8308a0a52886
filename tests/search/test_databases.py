"""Studies in databases and behind Optuna's proxy, shared by several processes."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import optuna
import pytest

from src.search.storage import open_storage

pytestmark = pytest.mark.slow

OPTIONS = ("hydra/sweeper/sampler=tpe", "hydra.sweeper.n_trials=8", "seconds=0.2")


def shared(toy, study: str, storage: str, workers: int = 4) -> None:
    """A sweep of several processes; each trial runs once, and all are there."""
    processes = [
        toy.start(study, *OPTIONS, f"hydra.sweeper.storage='{storage}'") for _ in range(workers)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 0, output
    assert len(toy.complete(study, storage)) == 8
    starts = Counter(event.number for event in toy.events() if event.what == "start")
    assert len(starts) == 8
    assert set(starts.values()) == {1}


def begin(storage: str, folder: Path) -> None:
    study = optuna.create_study(
        study_name="s", storage=open_storage(storage, folder), load_if_exists=True
    )
    study.tell(study.ask(), 0.0)


def test_a_fresh_sqlite_file_opened_together(tmp_path):
    storage = f"sqlite:///{tmp_path}/fresh.db"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=begin, args=(storage, tmp_path)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 4
    study = optuna.load_study(study_name="s", storage=storage)
    assert sorted(trial.number for trial in study.trials) == list(range(4))


def test_sqlite(toy):
    shared(toy, "lite", f"sqlite:///{toy.folder}/fresh.db")


def test_postgresql(toy):
    storage = os.environ.get("FEATHERFACE_POSTGRES")
    if storage is None:
        pytest.skip("no FEATHERFACE_POSTGRES=postgresql+psycopg://USER@HOST/DATABASE")
    shared(toy, f"server-{uuid.uuid4().hex[:8]}", storage)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_proxy(toy, tmp_path):
    pytest.importorskip("grpc")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-c",
         "import optuna; from optuna.storages import run_grpc_proxy_server as run, RDBStorage; "
         f"run(RDBStorage('sqlite:///{tmp_path}/behind.db'), host='localhost', port={port})"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("localhost", port), timeout=1).close()
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
        shared(toy, "proxied", f"grpc://localhost:{port}", workers=2)
    finally:
        server.kill()
        server.wait()
