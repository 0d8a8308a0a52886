"""The command that compares runs, on fabricated run folders."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

import pytest
import torch
from composing import TINY_DATA, complaint_of, compose_run, composed, forget_run
from fabricated_runs import fabricate, finish

from src import checkpoint
from src.compare import compare
from src.comparison import group_runs, read_runs
from src.evaluate import evaluate
from src.models import featherface_v1
from src.profiling.complexity import complexity
from src.runs.record import record


def run_compare(folder: Path, *options: str) -> dict:
    with composed("compare", folder, *options) as config:
        return compare(config, folder)


def complaint(folder: Path, *options: str) -> str:
    return complaint_of(compare, "compare", folder, *options)


@pytest.fixture
def runs(tmp_path) -> Path:
    for number, (kd, seed) in enumerate(
        [("none", 0), ("none", 1), ("weighted", 0), ("weighted", 1)]
    ):
        fabricate(
            tmp_path / "m" / str(number), f"kd={kd}", f"seed={seed}",
            ap=(0.9, 0.8, 0.5 + 0.01 * number),
        )  # fmt: skip
    return tmp_path / "m"


def test_writes_table_picture_and_numbers(runs, tmp_path, caplog):
    out = tmp_path / "out"
    with caplog.at_level(logging.INFO):
        content = run_compare(out, f"runs={runs}", "base=weighted")
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    text = (out / "comparison.md").read_text()
    assert "| `kd=weighted` | 2 | 489,015 | 90.00 ± 0.00 |" in " ".join(text.split())
    assert "![AP of each setting, differences and learning curves](comparison.png)" in text
    assert text.splitlines()[2] in caplog.text
    assert str(out / "comparison.md") in caplog.text
    written = json.loads((out / "comparison.json").read_text())
    assert written["base"] == content["base"] == "kd=weighted"
    plain, base = written["settings"]
    assert plain["setting"] == "kd=none"
    assert plain["difference"]["hard"] == pytest.approx(
        {"mean": -0.02, "half_width": 0, "kind": "paired"}, abs=1e-9
    )
    assert base["difference"] == {}
    assert [run["seed"] for run in base["runs"]] == [0, 1]
    assert base["runs"][0]["curve"] == [[10, 0.1], [20, 0.2]]
    provenance = json.loads((out / "run.json").read_text())
    assert provenance["command"].startswith("python -m src.compare runs=")


def test_several_folders(runs, tmp_path):
    one = f"runs=[{runs / '0'},{runs / '2'}]"
    content = run_compare(tmp_path / "out", one)
    assert [len(each["runs"]) for each in content["settings"]] == [1, 1]
    assert content["settings"][1]["difference"]["hard"]["kind"] == "none"
    # Nothing can be measured from one seed: the file says so in JSON's way.
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert written["settings"][1]["difference"]["hard"]["half_width"] is None


def test_left_out_runs_are_named(runs, tmp_path, caplog):
    (runs / "3" / "metrics.json").unlink()
    content = run_compare(tmp_path / "out", f"runs={runs}")
    reason = "unfinished: it has no metrics.json"
    assert content["left_out"] == [{"folder": str(runs / "3"), "reason": reason}]
    assert "`m/3`, unfinished" in (tmp_path / "out" / "comparison.md").read_text()
    assert f"left out {runs / '3'}: {reason}" in caplog.text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "expected either checkpoints or runs to compare, got none; name files, as in"),
        (["runs=[]"], "expected either checkpoints or runs to compare, got none; name files"),
        (
            ["runs={m}", "checkpoints=[flagship]"],
            "expected either checkpoints or runs to compare, got runs={m} beside flagship;",
        ),
        (["runs=[{m},{m}/0/run.json]"], "expected folders as runs=, got the file {m}/0/run.json;"),
        (["checkpoints=[{m}/0,flagship]"], "expected files of checkpoints, got the folder {m}/0;"),
        (["checkpoints=flagship"], "expected at least two checkpoints, got flagship alone; name"),
        (
            ["checkpoints=[flagship,flagship]"],
            "expected each checkpoint once, got the same file twice: flagship; name another one",
        ),
        (
            ["checkpoints=[flagship,weights/flagship.ckpt]"],
            "expected each checkpoint once, got the same file twice: flagship and "
            "weights/flagship.ckpt, which are one; name another one",
        ),
        (["checkpoints=[flagship,other]"], "expected a checkpoint file, found none at other;"),
        (["checkpoints=[flagship,b.ckpt]", "base=5"], "expected base= beside runs= alone, got"),
        (
            ["runs={m}/no"],
            "expected a run folder or a folder of runs, got no folder {m}/no;",
        ),
        (["runs={m}", "base=5"], "expected base to be one of the settings 'kd=none', 'kd="),
    ],
)
def test_mistakes_end_in_one_sentence(options, sentence, runs, tmp_path):
    said = complaint(tmp_path / "out", *(option.format(m=runs) for option in options))
    assert said.startswith(sentence.format(m=runs))


def test_face_sizes_of_runs_that_know_them(tmp_path):
    for seed in range(2):
        run = fabricate(tmp_path / "m" / str(seed), f"seed={seed}")
        metrics = json.loads((run / "metrics.json").read_text())
        sizes = {"ap_size_0_16": 0.2 + 0.1 * seed, "ap_size_16_32": 0.5, "ap_size_96_inf": None}
        finish(run, {**metrics, **sizes})
    content = run_compare(tmp_path / "out", f"runs={tmp_path / 'm'}")
    (row,) = content["settings"]
    assert row["size_ap"]["size_0_16"]["mean"] == pytest.approx(0.25)
    text = " ".join((tmp_path / "out" / "comparison.md").read_text().split())
    assert "| faces by size | AP under 16 px |" in text
    assert "| `all runs` | 25.00 ± 7.07 | 50.00 ± 0.00 | n/a | n/a |" in text


def test_without_face_sizes_there_is_no_table_of_them(runs, tmp_path):
    run_compare(tmp_path / "out", f"runs={runs}")
    assert "faces by size" not in (tmp_path / "out" / "comparison.md").read_text().lower()


@pytest.fixture
def networks(tmp_path) -> list[str]:
    """Files of two networks that were not trained."""
    torch.manual_seed(0)
    files = [tmp_path / "wide.ckpt", tmp_path / "narrow.ckpt"]
    for file, channels in zip(files, (16, 8), strict=True):
        checkpoint.save(file, featherface_v1(channels=channels, bifpn_repeats=1, context="conv3x3"))
    return [str(file) for file in files]


def test_checkpoints_are_measured_as_evaluate_does(networks, tmp_path):
    folder = tmp_path / "out"
    data = [*TINY_DATA, f"data.root={tmp_path / 'data'}", "trainer.accelerator=cpu"]
    content = run_compare(
        folder, f"checkpoints=[{','.join(networks)}]", *data, "threshold=0.3", "num_pictures=2",
        "height=64", "width=96",
    )  # fmt: skip
    written = json.loads((folder / "comparison.json").read_text())
    assert [row["name"] for row in written["networks"]] == ["wide", "narrow"]
    for row in content["networks"]:
        model = checkpoint.load(row["checkpoint"]).model
        assert (row["parameters"], row["multiply_adds"]) == complexity(model, 64, 96)
        options = [f"checkpoint={row['checkpoint']}", *data, "num_pictures=0"]
        with composed("evaluate", tmp_path / row["name"], *options) as config:
            single = evaluate(config, tmp_path / row["name"])
        assert row["metrics"]["ap"] == pytest.approx(single["ap"], abs=1e-6, nan_ok=True)
    assert content["protocol"] == single["protocol"]
    assert content["faces"] == single["faces"]["hard"]
    pictures = content["pictures"]
    assert len(pictures) == content["data"]["images"] == 3
    assert pictures[0]["size"] > 0
    assert pictures[0]["size"] >= pictures[1]["size"] >= pictures[2]["size"]
    shown = [each for each in pictures[:2] if each["size"]]
    for place, row in enumerate(content["networks"]):
        assert row["false"] == sum(each["false"][place] for each in pictures)
    page = (folder / "comparison.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3 * len(shown)  # labels and two networks
    assert page.count("data:image/svg+xml;base64,") == 4
    assert pictures[0]["name"] in page
    assert pictures[2]["name"] not in page
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)


def test_groups_runs_of_the_real_configuration(tmp_path):
    """What a run records of the training configuration, with the metrics of a fabricated run."""
    sample = fabricate(tmp_path / "sample")
    for number, overrides in enumerate(
        (["seed=0"], ["seed=1"], ["optimizer=sgd", "seed=0"], ["optimizer=sgd", "seed=1"])
    ):
        folder = tmp_path / "m" / str(number)
        shutil.copytree(sample, folder)
        try:
            config = compose_run("train", folder, *overrides, "run=" + "abcd"[number])
            record(folder, config)
        finally:
            forget_run()
    grouping = group_runs(read_runs([tmp_path / "m"])[0])
    found = {setting.name: setting.seeds for setting in grouping.settings}
    assert found == {"optimizer=adamw": [0, 1], "optimizer=sgd": [0, 1]}
    assert {key.partition(".")[0] for key in grouping.differences} == {"optimizer"}
