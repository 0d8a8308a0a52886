"""The benchmark on tiny settings: what it writes, and that its arithmetic is right."""

from __future__ import annotations

import json

import pytest
import torch
from composing import TINY_DATA, composed

from src import benchmark as bench
from src import checkpoint, workloads
from src.detection.decoding import Decoder
from src.models import featherface_v1


def test_a_benchmark_of_two_checkpoints(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(workloads, "WIDER_VAL", (20, 60))
    paths = [tmp_path / f"{name}.ckpt" for name in "ab"]
    for path, channels in zip(paths, (8, 16), strict=True):
        checkpoint.save(path, featherface_v1(channels=channels, bifpn_repeats=1))
    options = [f"checkpoints=[{paths[0]},{paths[1]}]", "sizes=[32,64]", "rounds=2", "device=cpu",
               f"data.root={tmp_path / 'tree'}", *TINY_DATA]  # fmt: skip
    caplog.set_level("INFO")
    with composed("benchmark", tmp_path / "run", *options) as config:
        results = bench.benchmark(config, tmp_path / "run")
    written = json.loads((tmp_path / "run" / "benchmark.json").read_text())
    assert written == results
    assert written["device"].startswith("cpu, ")
    assert written["threads"] == 1
    assert written["revision"]
    kinds = [(row["kind"], row.get("size")) for row in written["rows"]]
    networks = ["network", "network", "decoding"]
    assert kinds == [
        *((kind, 32) for kind in networks), *((kind, 64) for kind in networks),
        ("data", config.data.image_size), ("evaluator", None),
    ]  # fmt: skip
    for row in written["rows"]:
        assert len(row["seconds"]) == 2
        assert min(row["seconds"]) <= row["median"] <= max(row["seconds"])
    assert written["rows"][0]["what"] == str(paths[0])
    assert written["rows"][0]["parameters"] < written["rows"][1]["parameters"]
    assert written["rows"][4]["multiply_adds"] == 4 * written["rows"][1]["multiply_adds"]
    assert written["rows"][-1]["images"] == 20
    assert str(paths[1])[-20:] in caplog.text


def test_the_presets_are_measured_without_checkpoints(tmp_path):
    options = ["sizes=[32]", "device=cpu"]
    with composed("benchmark", tmp_path, *options) as config:
        jobs = list(bench.network_jobs(config, torch.device("cpu")))
    assert [row["what"] for row, _ in jobs] == [
        "v1_489015", "v1_493778", "v1_487103", "v1_592371", "decoding and suppression",
    ]  # fmt: skip
    for _, run in jobs:
        run()


def test_medians_and_ratios(monkeypatch):
    warm_up, rounds = [0, 0, 0], [0, 2, 0, 6, 0, 5, 0, 4, 0, 2, 0, 7, 0, 8, 0, 16, 0, 9]
    clock = iter(warm_up + rounds)
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    calls = []
    jobs = [({"kind": kind}, lambda n=n: calls.append(n)) for n, kind in enumerate("aab")]
    rows = bench.time_in_turn(jobs, 3)
    assert calls == [0, 1, 2] * 4  # in turn, the first round unmeasured
    assert [row["seconds"] for row in rows] == [[2, 4, 8], [6, 2, 16], [5, 7, 9]]
    assert [row["median"] for row in rows] == [4, 6, 7]
    assert [row["ratio"] for row in rows] == [1, 2, 1]  # the second: of 3, 0.5 and 2


def test_the_table_counts_per_image():
    rows = [
        {"kind": "network", "what": "x" * 50, "size": 640, "images": 1, "median": 0.25,
         "ratio": 1.0, "parameters": 489015, "multiply_adds": 1_014_656_800},
        {"kind": "data", "what": "data", "images": 64, "median": 0.64, "ratio": 1.0},
    ]  # fmt: skip
    _, first, second = bench.table(rows).splitlines()
    assert first.split() == ["x" * 40, "640", "489,015", "1.015", "G", "250.00", "4.0", "1.00"]
    assert second.split() == ["data", "10.00", "100.0", "1.00"]


def test_plausible_outputs_let_few_priors_pass():
    model = featherface_v1(channels=8, bifpn_repeats=1).eval()
    outputs = workloads.plausible_outputs(model, torch.zeros(1, 3, 640, 640, dtype=torch.uint8))
    found = Decoder(nms_iou=1).candidates(outputs, model.priors, 640, 640)
    assert len(found.scores[0]) == pytest.approx(16_800 * workloads.PASSING, rel=0.3)


@pytest.mark.parametrize("option", ["rounds=0", "threads=0", "sizes=[64,0]"])
def test_wrong_options(tmp_path, option):
    with (
        composed("benchmark", tmp_path, option) as config,
        pytest.raises(ValueError, match="rounds, threads and sizes of at least 1, got"),
    ):
        bench.benchmark(config, tmp_path)
