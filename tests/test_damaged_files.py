"""Whatever a file holds, one sentence names it, and where there are lines, the line."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from composing import complaint_of, composed

from src import checkpoint
from src.cli.options import store_option_files
from src.comparison.curves import draw_training
from src.pipeline import pipeline
from src.prune import prune
from src.runs.read import metric_rows
from src.search.storage import JOURNAL, open_storage
from src.training.resuming import read_training

WRONG = (None, 3, -1, "text", [], {}, [1, "a"], float("nan"), b"x", {"name": 3}, True)


def damaged(content, chance: random.Random):
    """A copy of nested tables and lists in which one value is another, or gone."""
    content = copy.deepcopy(content)
    node = content
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = chance.choice(keys)
        if isinstance(node[key], (dict, list)) and node[key] and chance.random() < 0.7:
            node = node[key]
            continue
        if chance.random() < 0.3:
            del node[key]
        else:
            node[key] = chance.choice(WRONG)
        return content


def complaint(file) -> str:
    """What is said of a file that cannot be loaded; of one that can, its name."""
    try:
        checkpoint.load(file)
    except ValueError as error:
        return str(error)
    return str(file)


@pytest.mark.parametrize("seed", range(60))
def test_a_checkpoint_of_another_structure(seed, weights, tmp_path):
    chance = random.Random(seed)
    content = damaged(torch.load(weights, weights_only=True), chance)
    file = tmp_path / "damaged.ckpt"
    torch.save(content, file)
    said = complaint(file)
    assert said.startswith(("expected", str(file)))
    assert str(file) in said
    assert "\n" not in said


@pytest.mark.parametrize("seed", range(40))
def test_a_checkpoint_of_other_bytes(seed, weights, tmp_path):
    chance = random.Random(seed)
    content = bytearray(weights.read_bytes())
    for _ in range(chance.choice((1, 8, 200))):
        content[chance.randrange(len(content))] = chance.randrange(256)
    file = tmp_path / "damaged.ckpt"
    file.write_bytes(content)
    assert str(file) in (said := complaint(file))
    assert "\n" not in said


@pytest.mark.parametrize("key", ["global_step", "optimizer_states", "callbacks", "loops"])
def test_a_training_of_another_structure(key, weights, tmp_path):
    content = torch.load(weights, weights_only=True)
    content |= {"loops": {}, "global_step": 1, "epoch": 1, "optimizer_states": [],
                "lr_schedulers": [], "callbacks": {}, "pytorch-lightning_version": "2"}  # fmt: skip
    file = tmp_path / "last.ckpt"
    torch.save(content, file)
    assert read_training(file)["epoch"] == 1
    torch.save({**content, key: "text"}, file)
    with pytest.raises(ValueError, match=f"^expected {key} of a training run in {file}, got 'te"):
        read_training(file)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", ""), ("[]", ""), ("{}", ""), ("\\xff", ""), ("[" * 9000, ""),
        ('{"op_code": 99, "worker_id": "a"}', "which does not follow"),
        ('{"op_code": 4, "worker_id": "a"}', "which does not follow"),
    ],
)  # fmt: skip
def test_a_journal_names_its_line(line, what, tmp_path):
    storage = open_storage(None, tmp_path)
    storage.create_new_study([1], "a")
    whole = (tmp_path / JOURNAL).read_text()
    lines = whole.count("\n")
    (tmp_path / JOURNAL).write_text(f"{whole}{line}\n{whole}")
    with pytest.raises(ValueError, match=f"{JOURNAL}:{lines + 1}, got .*{what}"):
        open_storage(None, tmp_path)


def test_a_journal_names_its_last_line(tmp_path):
    open_storage(None, tmp_path).create_new_study([1], "a")
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"op_code": 4, "worker\n')
    with pytest.raises(ValueError, match=rf"{JOURNAL}:2, got b'{{\"op_code\": 4, \"worker'"):
        open_storage(None, tmp_path)


def test_metrics_with_anything_in_them(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_bytes(b"step,val/ap\n0,0.5\n\xff,\x00\n1,2,3,4\n\x1b[1m\n2,0.6\n")
    assert [row["val/ap"] for _, row in metric_rows(file)] == [0.5, 2.0, 0.6]


@pytest.mark.parametrize("text", ["pruning: {}\n", "pruning: {multiple: 4}\n"])
def test_a_plan_that_is_none(text, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(f"# @package _global_\n{text}")
    store_option_files(["pruning=./mine.yaml"])
    said = complaint_of(
        prune, "prune", tmp_path / "run", f"checkpoint={weights}", "pruning=./mine.yaml"
    )
    assert said.startswith("expected a whole plan as pruning, got ")


def test_a_pipeline_without_stages(tmp_path):
    with composed("pipeline", tmp_path) as config:
        config.plan = {}
        with pytest.raises(ValueError, match="expected a plan with at least one"):
            pipeline(config, tmp_path)


def test_names_are_no_mathematics(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,train/loss,val/ap\n0,1.0,0.5\n1,0.5,0.6\n")
    draw_training({r"$\frac{$": tmp_path}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0
