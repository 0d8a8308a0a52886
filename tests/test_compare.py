"""The command that compares runs, on fabricated run folders."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
from composing import complaint_of, compose_run, composed, forget_run
from fabricated_runs import fabricate

from src.compare import compare
from src.comparison import group_runs, read_runs
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
        ([], "expected a value for runs, got none; add runs=..."),
        (["runs=[]"], "expected the folder of at least one run or multirun, got none; set"),
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
