"""The examples of docs/extending.md, run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE, re.S)
NAME = re.compile(r"(?:# @package .*\n)?# (mine/\S+)\n")
FILES = {match[1]: block for block in BLOCKS if (match := NAME.match(block))}
CHECKS = [block for block in BLOCKS if not NAME.match(block)]


def test_all_four_parts_have_an_example():
    names = ("losses.py", "box.yaml", "assigners.py", "nearest.yaml", "importances.py", "necks.py")
    assert list(FILES) == [f"mine/{name}" for name in names]
    assert len(CHECKS) == 4


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=["loss", "objective", "importance", "neck"])
def test_example(check, tmp_path):
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    (tmp_path / "check.py").write_text(check)
    environment = {"FEATHERFACE_TARGETS": "mine.*", "PYTHONPATH": f"{tmp_path}:{ROOT}",
                   "OMP_NUM_THREADS": "1"}  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "check.py"], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_the_loss_and_the_assigner_train(tmp_path):
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    environment = {"FEATHERFACE_TARGETS": "mine.*", "PYTHONPATH": f"{tmp_path}:{ROOT}",
                   "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}  # fmt: skip
    tiny = ["data.generator.num_train=4", "data.generator.num_val=2", "data.generator.size=96",
            "data.num_workers=0", "data.val_long_side=96", "data.image_size=96",
            "data.batch_size=2", "recipe.epochs=1", "recipe.warmup_steps=0", "num_pictures=0",
            "logger=csv", "model=plain_small", "trainer=cpu", "run=mine"]  # fmt: skip
    given = ["loss/box=./mine/box.yaml", "assigner=./mine/nearest.yaml"]
    ended = subprocess.run(
        [sys.executable, "-m", "src.train", *given, *tiny], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert (tmp_path / "outputs/train/mine/checkpoints/last.ckpt").is_file()
