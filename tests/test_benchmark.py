"""The benchmark on tiny settings: what it writes, and that its arithmetic is right."""

from __future__ import annotations

import json

import pytest
import torch
from composing import TINY_DATA, complaint_of, composed
from fabricated_onnx import fabricate_onnx

from src import benchmark as bench
from src import checkpoint
from src.detection.decoding import Decoder
from src.models import featherface_v1
from src.profiling import timing, workloads
from src.training.step_times import PARTS


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
    assert (tmp_path / "run" / "benchmark.png").is_file()


@pytest.mark.slow
def test_the_parts_of_a_training_step(tmp_path, student, caplog):
    caplog.set_level("INFO")
    settings = {
        "model": "nano_b", "model.channels": 16, "kd": "fixed", "kd.teacher": str(student),
        "data.root": str(tmp_path / "tree"), "data.image_size": 64, "data.batch_size": 2,
        "trainer": "cpu", **dict(item.split("=") for item in TINY_DATA),
    }  # fmt: skip
    given = ", ".join(f"{key}: {value}" for key, value in settings.items())
    options = ["what=training", "steps=2", f"training={{{given}}}"]
    with composed("benchmark", tmp_path / "run", *options) as config:
        results = bench.benchmark(config, tmp_path / "run")
    whole, *parts = results["rows"]
    assert [row["what"].strip() for row in parts] == list(PARTS)
    assert (whole["images"], whole["size"], len(whole["seconds"])) == (2, 64, 2)
    for step, seconds in enumerate(whole["seconds"]):
        assert seconds == pytest.approx(sum(part["seconds"][step] for part in parts))
    assert "training step" in caplog.text


@pytest.mark.slow
def test_a_checkpoint_beside_an_exported_file(tmp_path):
    models = [featherface_v1(channels=channels, bifpn_repeats=1) for channels in (8, 16)]
    checkpoint.save(tmp_path / "a.ckpt", models[0])
    fabricate_onnx(tmp_path / "b.onnx", model=models[1].config, decode=False)
    options = [f"checkpoints=[{tmp_path / 'a.ckpt'},{tmp_path / 'b.onnx'}]", "sizes=[32,64]",
               "what=network", "rounds=3"]  # fmt: skip
    with composed("benchmark", tmp_path / "run", *options) as config:
        results = bench.benchmark(config, tmp_path / "run")
    assert results["device"].startswith("cpu, ")  # whatever there is beside it
    rows = results["rows"]
    assert [(row["kind"], row["runtime"], row["size"]) for row in rows] == [
        ("network", runtime, size) for size in (32, 64) for runtime in ("eager", "onnx")
    ]
    for row, file, model in zip(rows, ["a.ckpt", "b.onnx"] * 2, models * 2, strict=True):
        assert row["what"] == str(tmp_path / file)
        assert row["bytes"] == (tmp_path / file).stat().st_size
        assert row["parameters"] == sum(p.numel() for p in model.parameters())
    assert rows[1]["multiply_adds_ratio"] > 1.1
    assert rows[3]["multiply_adds_ratio"] == pytest.approx(rows[1]["multiply_adds_ratio"])
    assert (tmp_path / "run" / "benchmark.png").read_bytes().startswith(b"\x89PNG")


def test_decoding_needs_no_checkpoint(tmp_path):
    model = featherface_v1(channels=8, bifpn_repeats=1)
    fabricate_onnx(tmp_path / "b.onnx", model=model.config)
    options = [f"checkpoints={tmp_path / 'b.onnx'}", "sizes=[32]", "what=[decoding]", "rounds=1"]
    with composed("benchmark", tmp_path / "run", *options) as config:
        results = bench.benchmark(config, tmp_path / "run")
    assert [row["what"] for row in results["rows"]] == ["decoding and suppression"]
    assert not (tmp_path / "run" / "benchmark.png").exists()


@pytest.mark.slow
def test_the_presets_are_measured_without_checkpoints(tmp_path):
    device = torch.device("cpu")
    with composed("benchmark", tmp_path, "sizes=[32]", "device=cpu") as config:
        presets = bench.load_networks([], 1, device)
        jobs = list(bench.network_jobs(presets, config.sizes, Decoder(), device))
    assert [row["what"] for row, _ in jobs] == [
        "v1_489015", "v1_493778", "v1_487103", "v1_376344", "v1_592371", "decoding and suppression",
    ]  # fmt: skip
    for _, run in jobs:
        run()


def test_medians_and_ratios(monkeypatch):
    warm_up, rounds = [0, 0, 0], [0, 2, 0, 6, 0, 5, 0, 4, 0, 2, 0, 7, 0, 8, 0, 16, 0, 9]
    clock = iter(warm_up + rounds)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    calls = []
    jobs = [
        ({"kind": kind, "multiply_adds": 10 * (n + 1)}, lambda n=n: calls.append(n))
        for n, kind in enumerate("aab")
    ]
    rows = timing.time_in_turn(jobs, 3)
    assert calls == [0, 1, 2] * 4  # in turn, the first round unmeasured
    assert [row["seconds"] for row in rows] == [[2, 4, 8], [6, 2, 16], [5, 7, 9]]
    assert [row["median"] for row in rows] == [4, 6, 7]
    assert [row["quartiles"] for row in rows] == [[3, 6], [4, 11], [6, 8]]
    assert [row["ratio"] for row in rows] == [1, 2, 1]  # the second: of 3, 0.5 and 2
    assert [row["ratio_quartiles"] for row in rows] == [[1, 1], [1.25, 2.5], [1, 1]]
    assert [row["multiply_adds_ratio"] for row in rows] == [1, 2, 1]


def test_the_table_counts_per_image():
    rows = [
        {"kind": "network", "what": "x" * 50, "runtime": "onnx", "size": 640, "images": 1,
         "median": 0.25, "ratio": 1.0, "parameters": 489015, "multiply_adds": 1_014_656_800,
         "multiply_adds_ratio": 0.5, "bytes": 2_345_678},
        {"kind": "data", "what": "data", "images": 64, "median": 0.64, "ratio": 1.0},
    ]  # fmt: skip
    head, first, second = timing.table(rows).splitlines()
    assert first.split() == [
        "x" * 40, "onnx", "640", "489,015", "2,346", "1.015", "G", "0.50", "250.00", "4.0", "1.00",
    ]  # fmt: skip
    assert second.split() == ["data", "10.00", "100.0", "1.00"]
    assert head.index("ms/image") + len("ms/image") == second.index("10.00") + len("10.00")


def test_plausible_outputs_let_few_priors_pass():
    model = featherface_v1(channels=8, bifpn_repeats=1).eval()
    outputs = workloads.plausible_outputs(model, torch.zeros(1, 3, 640, 640, dtype=torch.uint8))
    found = Decoder(nms_iou=1).candidates(outputs, model.priors, 640, 640)
    assert len(found.scores[0]) == pytest.approx(16_800 * workloads.PASSING, rel=0.3)


@pytest.fixture
def complaint(tmp_path):
    """``complaint("a=1")``: the sentence that the command ends with."""

    def run(*overrides):
        return complaint_of(bench.benchmark, "benchmark", tmp_path / "run", *overrides)

    return run


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("rounds=0", "expected rounds to be a whole number of at least 1, got 0"),
        ("threads=0", "expected threads to be a whole number of at least 1, got 0"),
        ("sizes=[64,0]", "expected sizes[1] to be a whole number from 1 to 65536 or a list, got 0"),
        ("sizes=0", "expected sizes to be a whole number from 1 to 65536 or a list, got 0"),
        ("sizes=[]", "expected at least one size, got none"),
    ],
)
def test_wrong_numbers(option, sentence, complaint):
    assert sentence in complaint(option)


@pytest.mark.parametrize("option", ["what=[]", "what=speed", "what=[network,speed]"])
def test_nothing_of_the_kind(option, complaint):
    found = complaint(option)
    assert found.startswith(
        "expected what to be some of network, decoding, data, evaluator, training, detectors; got ["
    )


def test_files_that_are_none(complaint, tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    fabricate_onnx(tmp_path / "b.onnx", format=None)
    for name, sentence in {
        "a.onnx": "expected an ONNX file that ONNX Runtime ",
        "b.onnx": "expected an ONNX file of src.export, format 1, got format None",
        "c.onnx": "expected an ONNX file, found none at",
        "c.ckpt": "expected a checkpoint file, found none at",
    }.items():
        assert complaint(f"checkpoints=[{tmp_path / name}]").startswith(sentence)


def test_exported_files_run_on_the_cpu(complaint):
    found = complaint("checkpoints=[b.onnx]", "device=meta")
    assert found.startswith("expected device=cpu beside b.onnx, which ONNX Runtime runs on the CPU")
