"""Files of settings: those given as options, and folders of them (``--config-dir``)."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

from src.cli.composed import composed_command
from src.cli.options import CONF
from src.summary import main

from .format import Format

_PLAN = "# @package _global_\ndefaults: [one_shot]\npruning:\n  rates: {bifpn: 0.5, heads: 0.25}\n"
_EXPERIMENT = """# @package _global_
defaults:
  - override /optimizer: sgd
optimizer: {lr: 0.1, weight_decay: "${seed}"}
recipe: &r {epochs: 3}
hydra: {sweeper: {params: {seed: "1,2"}}}
"""


def _option(command: str, group: str, text: str) -> Format:
    """A file given as ``group=FILE`` to a command, which is composed with it."""

    def make(folder: Path) -> list[Path]:
        (folder / "mine.yaml").write_text(text)
        return [folder / "mine.yaml"]

    def read(folder: Path) -> None:
        composed_command(command, [f"{group}={folder}/mine.yaml"], where=str(folder))

    return Format(make, read)


def _tree(folder: Path) -> list[Path]:
    """A folder of somebody's own options, for ``--config-dir``."""
    model = folder / "tree" / "model" / "own"  # a / keeps what tests remember of Hydra out
    model.mkdir(parents=True)
    for name, own in (("plain_small", "mine"), ("plain", "plain")):
        shutil.copyfile(CONF / "model" / f"{name}.yaml", model / f"{own}.yaml")
    return [model / "mine.yaml", model / "plain.yaml"]


def _with_tree(folder: Path) -> None:
    """``python -m src.summary --config-dir tree model=own/mine``, whose sentence names the tree."""
    sys.argv = ["summary", "--config-dir", f"{folder}/tree", "model=own/mine",
                f"hydra.run.dir={folder}/run"]  # fmt: skip
    os.chdir(folder)
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        try:
            main()
        except SystemExit as stop:
            if isinstance(stop.code, str) and stop.code.startswith("error: "):
                raise ValueError(f"{folder}: {stop.code}") from None
            raise


FORMATS = {
    "plan": _option("prune", "pruning", _PLAN),
    "experiment": _option("train", "experiment", _EXPERIMENT),
    "optimizer": _option("train", "optimizer", (CONF / "optimizer" / "sgd.yaml").read_text()),
    "config-dir": Format(_tree, _with_tree),
}
