"""Restarting a process with another allocator; nothing here is restarted."""

from __future__ import annotations

import sys

import pytest

from src.runs import allocator


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the process would have become: executable and arguments."""
    found: dict[str, object] = {}
    monkeypatch.setattr(allocator.os, "execv", lambda file, args: found.update({file: args}))
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(allocator.Path, "exists", lambda path: False)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-u", "-m", "src.train", "-m", "seed=0,1"])
    monkeypatch.setenv(allocator.VARIABLE, "")  # put back afterwards
    monkeypatch.delenv(allocator.VARIABLE)
    return found


def test_the_same_command_once_more(started: dict[str, object]) -> None:
    allocator.keep_memory("src.train")
    assert started == {sys.executable: [sys.executable, *sys.orig_argv[1:]]}
    assert allocator.os.environ[allocator.VARIABLE].startswith("glibc.malloc.")
    started.clear()
    allocator.keep_memory("src.train")  # the process that was started so
    assert started == {}


def test_who_has_chosen_is_left_alone(
    started: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(allocator.VARIABLE, "")
    allocator.keep_memory("src.train")
    assert started == {}


@pytest.mark.parametrize("case", ["called by another program", "no glibc", "a GPU"])
def test_where_it_would_not_help(
    started: dict[str, object], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    if case == "no glibc":
        monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    elif case == "a GPU":
        monkeypatch.setattr(allocator.Path, "exists", lambda path: True)
    else:
        monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "pytest"])
    allocator.keep_memory("src.train")
    assert started == {}
    assert allocator.VARIABLE not in allocator.os.environ
