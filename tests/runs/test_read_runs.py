from __future__ import annotations

import json
import math

import pytest
from fabricated_runs import fabricate, finish

from src.comparison import read_runs


def test_reads_what_a_run_folder_tells(tmp_path):
    fabricate(tmp_path / "a", "seed=3", ap=(0.9, 0.6, 0.3), curve=(0.25, 0.5),
              teacher_ap=(0.9, 0.9, 0.6))  # fmt: skip
    (run,), left_out = read_runs([tmp_path / "a"])
    assert left_out == []
    assert run.seed == 3
    assert run.ap == pytest.approx({"easy": 0.9, "medium": 0.6, "hard": 0.3, "mean": 0.6})
    assert run.teacher_ap == pytest.approx({"easy": 0.9, "medium": 0.9, "hard": 0.6, "mean": 0.8})
    assert run.curve == [(10, 0.25), (20, 0.5)]
    assert run.steps == 20
    assert run.images == 40
    assert run.choices["kd"] == "none"
    assert run.overrides == ["seed=3"]
    assert run.written["data"]["seed"] == "${seed}"
    assert run.config["data"]["seed"] == 3
    assert run.provenance["revision"] == "abc123"


def test_runs_of_a_multirun_come_by_number_and_once(tmp_path):
    for number in (10, 9, 0):
        fabricate(tmp_path / "m" / str(number))
    (tmp_path / "m" / "pictures").mkdir()
    runs, _ = read_runs([tmp_path / "m", tmp_path / "m" / "9"])
    assert [run.folder.name for run in runs] == ["0", "9", "10"]


def test_a_level_without_faces_is_nan(tmp_path):
    folder = fabricate(tmp_path / "a")
    finish(folder, {"ap_easy": 0.5, "ap_medium": None, "ap_hard": 0.1, "ap": None})
    (run,), _ = read_runs([folder])
    assert math.isnan(run.ap["medium"])
    assert run.ap["easy"] == 0.5


def test_a_line_cut_short_is_no_number(tmp_path):
    folder = fabricate(tmp_path / "a", curve=(0.25,))
    with (folder / "metrics.csv").open("a") as stream:
        stream.write("1,1")
    (run,), _ = read_runs([folder])
    assert run.curve == [(10, 0.25)]


def test_steps_are_those_of_the_last_validation(tmp_path):
    """Training is logged every tenth step, validation at the last one: 24, counted from 0."""
    folder = fabricate(tmp_path / "a")
    (folder / "metrics.csv").write_text(
        "epoch,step,train/loss,val/ap\n0,9,3.5,\n0,11,,0.2\n1,19,2.5,\n1,24,,0.3\n1,24,,\n"
    )
    (run,), _ = read_runs([folder])
    assert run.curve == [(12, 0.2), (25, 0.3)]
    assert run.steps == 25


def test_one_step_logged_by_training_and_validation(tmp_path):
    folder = fabricate(tmp_path / "a")
    (folder / "metrics.csv").write_text("epoch,step,train/loss,val/ap\n0,9,3.5,\n0,9,,0.2\n")
    (run,), _ = read_runs([folder])
    assert run.curve == [(10, 0.2)]
    assert run.steps == 10


def test_a_failed_resume_changes_nothing(tmp_path):
    """Hydra writes its own files before the run is refused."""
    folder = fabricate(tmp_path / "a", "kd=weighted")
    before = read_runs([folder])
    (folder / ".hydra").mkdir()
    for name in ("config", "overrides", "hydra"):
        (folder / ".hydra" / f"{name}.yaml").write_text("kd: [")
    assert read_runs([folder]) == before


def test_unusable_runs_are_named(tmp_path):
    fabricate(tmp_path / "0")
    fabricate(tmp_path / "1", ap=None)
    failed = tmp_path / "2"
    (failed / ".hydra").mkdir(parents=True)
    (failed / "train.log").write_text(
        "[2026-01-01][src.entry][ERROR] - job 2 stopped: expected 1, got 2; do 3\nTraceback\n"
    )
    (fabricate(tmp_path / "3") / "composed.yaml").unlink()
    earlier = fabricate(tmp_path / "4") / "run.json"
    facts = json.loads(earlier.read_text())
    del facts["choices"], facts["overrides"]
    earlier.write_text(json.dumps(facts))
    runs, left_out = read_runs([tmp_path])
    assert [run.folder.name for run in runs] == ["0"]
    assert [(folder.name, reason) for folder, reason in left_out] == [
        ("1", "unfinished: it has no metrics.json"),
        ("2", "failed: expected 1, got 2; do 3"),
        ("3", "incomplete, or of an earlier version: it has no composed.yaml"),
        (
            "4",
            "incomplete, or of an earlier version: it has no overrides in run.json, no choices in "
            "run.json",
        ),
    ]


# Errors


def test_no_such_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a run folder .*, got no folder .*/no"):
        read_runs([tmp_path / "no"])


def test_a_folder_without_runs(tmp_path):
    with pytest.raises(ValueError, match=r"with neither run\.json nor runs in it; set runs="):
        read_runs([tmp_path])


def test_no_finished_run(tmp_path):
    fabricate(tmp_path / "0", ap=None)
    with pytest.raises(
        ValueError, match=r"got 1 of which none can be compared \(.*/0: unfinished: .*metrics\.json"
    ):
        read_runs([tmp_path])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"ap_easy": 0.5',
            r"^expected JSON in .*metrics\.json, got 'Expecting.*; repeat that run",
        ),
        ("[1]", r"^expected a table in .*metrics\.json, got \[1\]; repeat"),
        ("{}", r"^expected ap_easy between 0 and 1 in .*metrics\.json, got nothing; repeat"),
        ('{"ap_easy": 95}', r"^expected ap_easy between 0 and 1 in .*, got 95; repeat"),
        ('{"ap_easy": "1"}', r"^expected ap_easy between 0 and 1 in .*, got 1; repeat"),
    ],
)
def test_damaged_metrics(text, message, tmp_path):
    (fabricate(tmp_path / "0") / "metrics.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_runs([tmp_path])


def test_damaged_configuration(tmp_path):
    (fabricate(tmp_path / "0") / "config.yaml").write_text("a: [")
    with pytest.raises(ValueError, match=r"^expected YAML in .*config\.yaml, got '.*'; repeat"):
        read_runs([tmp_path])
