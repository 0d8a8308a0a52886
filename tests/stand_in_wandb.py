"""Stands for W&B: remembers what runs were sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import wandb


class Run:
    """One run; takes what ``wandb.init`` takes."""

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.settings = SimpleNamespace(mode=given["mode"])
        self.logged: dict[str, Any] = {}
        self.made: list[wandb.Artifact] = []
        self.used: list[wandb.Artifact] = []
        self.finished = False
        self.config = self

    def update(self, values: Any, **options: Any) -> None:
        self.given["config"] = values

    def log(self, values: Any, **options: Any) -> None:
        assert not self.finished
        self.logged.update(values)

    def define_metric(self, *args: Any, **options: Any) -> None:
        pass

    def log_artifact(self, artifact: wandb.Artifact) -> None:
        self.made.append(artifact)

    def use_artifact(self, artifact: wandb.Artifact) -> None:
        assert self.settings.mode != "offline", "Cannot use artifact when in offline mode."
        self.used.append(artifact)

    def _log_artifact(self, artifact: wandb.Artifact, *, use_after_commit: bool, **_: Any) -> None:
        assert use_after_commit
        self.used.append(artifact)

    def finish(self, *args: Any, **options: Any) -> None:
        self.finished = True

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: Any) -> None:
        self.finish()


def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that are begun from now on."""
    runs: list[Run] = []
    monkeypatch.setattr(wandb, "init", lambda **given: runs.append(Run(**given)) or runs[-1])
    return runs
