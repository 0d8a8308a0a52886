"""One table of several networks: what it says of each, under which name, and what is refused."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from composing import TINY_DATA, complaint_of, composed

from src import checkpoint
from src.contest.networks import names_of
from src.evaluate import evaluate
from src.measure import measure, networks_table, runs_of
from src.models import featherface_v1
from src.profiling.complexity import complexity

QUICK = ["height=64", "width=96", "rounds=2", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return tmp_path_factory.mktemp("data") / "tiny"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two networks: the best of the run ``wide`` and ``narrow.ckpt``."""
    folder = tmp_path_factory.mktemp("networks")
    files = [folder / "wide" / "checkpoints" / "best.ckpt", folder / "narrow.ckpt"]
    torch.manual_seed(0)
    for file, channels in zip(files, (16, 8), strict=True):
        checkpoint.save(file, featherface_v1(channels=channels, bifpn_repeats=1, context="conv3x3"))
    return [str(file) for file in files]


def test_two_networks(files, tree, tmp_path, caplog):
    caplog.set_level("INFO")
    data = [*TINY_DATA, f"data.root={tree}"]
    folder = tmp_path / "run"
    with composed("measure", folder, f"checkpoints=[{','.join(files)}]", *data, *QUICK) as config:
        results = measure(config, folder)
    written = json.loads((folder / "measure.json").read_text())
    assert [row["name"] for row in written["networks"]] == ["wide", "narrow"]
    for row, file in zip(results["networks"], files, strict=True):
        assert row["checkpoint"] == file
        cost = complexity(checkpoint.load(file).model, 64, 96)
        assert (row["parameters"], row["multiply_adds"]) == cost
        with composed("evaluate", tmp_path / "single", f"checkpoint={file}", *data,
                      "trainer.accelerator=cpu", "num_pictures=0") as config:  # fmt: skip
            single = evaluate(config, tmp_path / "single")
        for name in ("ap", "ap_easy", "ap_medium", "ap_hard"):
            assert row["metrics"][name] == pytest.approx(single[name], abs=1e-6, nan_ok=True)
        assert len(row["seconds"]) == 2
        assert row["median"] == pytest.approx(sum(row["seconds"]) / 2)
    assert results["networks"][0]["ratio"] == 1
    assert written["data"]["images"] == 3
    assert (written["height"], written["width"], written["threads"]) == (64, 96, 1)
    shown = (folder / "measure.md").read_text()
    assert "AP under 16" in shown
    assert "n/a" in shown  # no image of 96 px has a face of 96
    assert written["device"].startswith("cpu, ")
    text = (folder / "measure.md").read_text()
    assert text.startswith(networks_table(results["networks"]))
    assert f"- `narrow`: {files[1]}" in text
    assert f"AP in per cent on 3 images of {tree} (val, longer side 96 px" in text
    assert "one image of 96 x 64 pixels" in text
    assert "AP of narrow (2 of 2)" in caplog.text
    assert str(folder / "measure.md") in caplog.text
    assert (folder / "run.json").is_file()


def test_draws_the_training_of_networks_that_lie_in_their_run(files, tmp_path, caplog):
    caplog.set_level("INFO")
    run = tmp_path / "taught"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(files[0], run / "checkpoints" / "best.ckpt")
    (run / "metrics.csv").write_text("step,train/loss,val/ap\n9,8.0,\n9,,0.25\n")
    best = str(run / "checkpoints" / "best.ckpt")
    assert runs_of([files[1], best]) == {"taught": run}
    folder = tmp_path / "run"
    options = [f"checkpoints=[{files[1]},{best}]", "measure_ap=false", *QUICK]
    with composed("measure", folder, *options) as config:
        measure(config, folder)
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert f"loss and AP during training: {folder / 'curves.png'}" in caplog.text


def test_without_ap_no_data_are_asked_for(files, tmp_path):
    folder = tmp_path / "run"
    options = [f"checkpoints={files[1]}", "measure_ap=false", "data.root=/nowhere", *QUICK]
    with composed("measure", folder, *options) as config:
        results = measure(config, folder)
    (row,) = results["networks"]
    assert "metrics" not in row
    assert "data" not in results
    assert "AP" not in (folder / "measure.md").read_text()
    assert not (folder / "curves.png").exists()


def test_the_table():
    rows = [
        {"name": "teacher", "parameters": 489_015, "multiply_adds": 1_014_656_800,
         "metrics": {"ap_easy": 0.91234, "ap_medium": 0.5, "ap_hard": float("nan")},
         "median": 0.1234, "ratio": 1.0},
        {"name": "pruned", "parameters": 97_000, "multiply_adds": 250_000_000,
         "metrics": {"ap_easy": 0.9, "ap_medium": 0.5, "ap_hard": 0.25},
         "median": 0.05, "ratio": 0.405},
    ]  # fmt: skip
    assert networks_table(rows).splitlines() == [
        "| network   | parameters | mult-adds | AP easy | AP medium | AP hard | ms/image | ratio |",
        "| --------- | ---------: | --------: | ------: | --------: | ------: | -------: | ----: |",
        "| `teacher` |    489,015 |  1,014.7M |   91.23 |     50.00 |     n/a |   123.40 |  1.00 |",
        "| `pruned`  |     97,000 |    250.0M |   90.00 |     50.00 |   25.00 |    50.00 |  0.41 |",
    ]


def test_names():
    paths = {
        "outputs/train/student/checkpoints/best.ckpt": "student",
        "outputs/train/student/checkpoints/last.ckpt": "student (2)",
        "outputs/prune/my_run/pruned.ckpt": "my_run",
        "weights/FeatherFace.pth": "FeatherFace",
        "student.ckpt": "student (3)",
        "best.ckpt": "best",
    }
    assert names_of(list(paths)) == list(paths.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], r"a value for checkpoints, got none; add checkpoints="),
        (["checkpoints=[]"], r"the file of at least one network, got none; set checkpoints="),
        (["checkpoints=[FILE,b.ckpt]"], r"a checkpoint file, found none at b\.ckpt"),
        (["checkpoints=FILE", "rounds=0"], r"rounds to be a whole number of at least 1, got 0"),
        (
            ["checkpoints=FILE", "trainer.devices=2"],
            r"trainer\.devices=1 and .* got 2 and 1: .*src\.measure",
        ),
    ],
)
def test_one_sentence_before_any_work(files, tmp_path, options, message):
    given = [*QUICK, *(option.replace("FILE", files[1]) for option in options)]
    found = complaint_of(measure, "measure", tmp_path / "run", *given)
    assert re.match(f"expected {message}", found)
    assert list((tmp_path / "run").iterdir()) == []
