"""Detectors side by side, each in its process: what is measured and written."""

from __future__ import annotations

import csv
import json
import os

import pytest
from composing import TINY_DATA, complaint_of, composed
from fabricated_onnx import fabricate_onnx

from src import benchmark as bench
from src import checkpoint
from src.contest import run as runs
from src.contest.child import Child
from src.contest.entry import Entry
from src.contest.picture import draw_contest
from src.contest.run import Latency, Result
from src.contest.tables import flat, results_table
from src.deploy import ExportOptions, export_onnx
from src.detection.decoding import Decoder


class Fake:
    """A child that takes as many seconds as told, and finds nothing."""

    def __init__(self, name, seconds, asked):
        self.name, self.seconds, self.asked = name, iter(seconds), asked

    def ask(self, image, rows):
        self.asked.append((self.name, image[-5]))
        return {"seconds": next(self.seconds), "memory": [9, 4], "rows": []}


def test_rounds_in_turn():
    asked: list[tuple[str, str]] = []
    warm_up = [(9, 9, 9)] * 2
    children = [
        Fake("a", [*warm_up, (0, 1, 1), (1, 2, 1), (0, 4, 4)], asked),
        Fake("b", [*warm_up, (0, 2, 2), (0, 1, 1), (0, 2, 2)], asked),
    ]
    pairs = [(Entry(child.name, child.name), child) for child in children]
    a, b = runs._at_size(pairs, ["0.png", "1.png"], 64, 3)
    assert asked == [(name, str(number % 2)) for number in range(5) for name in "ab"]
    assert a.network.seconds == [1, 2, 4]
    assert b.whole.seconds == [4, 2, 4]
    assert (a.network.ratio, b.network.ratio, b.whole.ratio) == (1, 0.5, 0.5)
    assert a.whole.percentiles == pytest.approx([4, 7.2, 7.92])  # of 2, 4 and 8
    assert (a.memory, a.memory_added, a.size) == (9, 4, 64)


def some_results():
    def result(name, size, ap=None, **known):
        latency = Latency([0.1], [0.0111, 0.0222, 0.0333], 0.5)
        entry = Entry(f"{name}.onnx", name, "OpenVINO", bytes=12_345, **known)
        return Result(entry, size, latency, latency, 250_000_000, 50_000_000, ap)

    ap = {"ap_easy": 0.9, "ap_medium": 0.8, "ap_hard": float("nan"), "ap": 0.85}
    return [result("one", 320, ap, parameters=1234), result("a|$b$", 320, None)]


def test_the_table():
    lines = results_table(some_results()).splitlines()
    assert lines[0].split("|")[1].strip() == "detector"
    cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    times = ["11.1 / 22.2 / 33.3", "0.50"]
    assert cells == ["one", "OpenVINO", "12", "1,234", "320", *times, *times, "250 (+50)",
                     "90.00", "80.00", "n/a"]  # fmt: skip
    assert lines[3].startswith(r"| a\|$b$   | OpenVINO |")
    assert flat(some_results()[0])["network_p90_ms"] == pytest.approx(22.2)


def test_the_picture_is_as_wide_as_a_phone(tmp_path):
    draw_contest(some_results(), tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    width = int.from_bytes(content[16:20])
    assert width == pytest.approx(2.4 * 400, abs=2)  # pixels for 400 of a phone


@pytest.mark.slow
def test_a_contest_of_files(weights, tmp_path, caplog):
    model = checkpoint.load(weights).model
    files = {"raw.onnx": ExportOptions(), "decoded.onnx": ExportOptions(decode=True),
             "faces.onnx": ExportOptions(decoder=Decoder())}  # fmt: skip
    for name, options in files.items():
        export_onnx(model, tmp_path / name, options)
    paths = ",".join([str(weights), *(str(tmp_path / name) for name in files)])
    options = ["what=detectors", f"checkpoints=[{paths}]", "sizes=[96,64]", "rounds=2",
               "num_images=2", "measure_ap=true", f"data.root={tmp_path / 'tree'}",
               *TINY_DATA]  # fmt: skip
    caplog.set_level("INFO")
    with composed("benchmark", tmp_path / "run", *options) as config:
        results = bench.benchmark(config, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "benchmark.json").read_text()) == results
    assert results["rows"] == []
    rows = results["detectors"]
    names = ["tiny.ckpt", *files]
    assert [(row["size"], row["name"]) for row in rows] == [
        (size, name) for size in (64, 96) for name in names
    ]
    for row in rows:
        assert len(row["network_seconds"]) == 2
        whole = row["image_to_faces_seconds"]
        assert all(a < b for a, b in zip(row["network_seconds"], whole, strict=True))
        assert 0 < row["memory_added"] < row["memory"]
        assert row["ap_easy"] == pytest.approx(rows[0]["ap_easy"], abs=1e-3)
    with (tmp_path / "run" / "detectors.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == names * 2
    table = (tmp_path / "run" / "detectors.md").read_text()
    assert table in caplog.text
    assert "AP in per cent on 3 images of" in table
    assert (tmp_path / "run" / "detectors.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_contender_that_cannot_run_or_dies(tmp_path):
    fabricate_onnx(tmp_path / "a.onnx")  # whose output is no detection
    settings = {"decoder": {}, "threads": 1}
    entry = Entry(str(tmp_path / "a.onnx"), "a", "ONNX Runtime", ["deltas"])
    with pytest.raises(ValueError, match=r"^a: expected outputs of a face detector"):
        Child("a", entry=entry._asdict(), **settings)
    with Child("b", entry=Entry("flagship", "b")._asdict(), **settings) as child:
        with pytest.raises(ValueError, match=r"^b: .*none\.png: expected an image"):
            child.ask(image=str(tmp_path / "none.png"), rows=False)
        os.kill(child._process.pid, 9)
        with pytest.raises(ValueError, match="expected b to run, but its process ended with"):
            child.ask(image="a.png", rows=False)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "expected at least one detector for what=detectors, got none"),
        (["checkpoints=[a.onnx]", "device=meta"], "expected device=cpu "),
        (["checkpoints=[flagship]", "num_images=0"], "expected num_images to be a whole number"),
        (["checkpoints=[a.xml]", "what=network"],
         "expected checkpoints and .onnx files of src.export for what=network, got a.xml"),
    ],
)  # fmt: skip
def test_settings_of_a_contest(options, sentence, tmp_path):
    found = complaint_of(bench.benchmark, "benchmark", tmp_path / "run", "what=detectors", *options)
    assert found.startswith(sentence)
