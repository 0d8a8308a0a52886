"""The summary of every network: its parts add up to the whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from composing import CONF, composed
from hydra.utils import instantiate
from torch import nn

from src import checkpoint
from src import summary as entry
from src.cli.settings import check_types
from src.models import FaceDetector, build_model, featherface_v1
from src.models.deformable import DeformableConv
from src.profiling.complexity import complexity

OPTIONS = sorted({file.stem for file in (Path(CONF) / "model").glob("*.yaml")} - {"checkpoint"})
COUNTS = ("layers", "parameters", "macs")
KEYS = ["part", "kind", *COUNTS, "output_shapes"]


def network(option: str, folder: Path, *settings: str) -> FaceDetector:
    with composed("summary", folder, f"model={option}", *settings) as config:
        return build_model(instantiate(config.model, _convert_="all"))


@pytest.fixture(scope="module", params=OPTIONS)
def model(request, tmp_path_factory) -> FaceDetector:
    """The network of every option of conf/model."""
    return network(request.param, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def found(model) -> dict[str, Any]:
    return entry.summarise(model, 64, 97)


def summarised(folder: Path, *options: str) -> dict[str, Any]:
    with composed("summary", folder, *options) as config:
        check_types(config)  # as every command begins
        return entry.summary(config, folder)


# Counts


def check_sums(found: dict[str, Any]) -> None:
    for count in COUNTS:
        assert sum(part[count] for part in found["parts"]) == found[count]
        for part in found["parts"]:
            if part["parts"]:
                assert sum(each[count] for each in part["parts"]) == part[count], part["part"]
    assert found["priors"] == found["parts"][-1]["output_shapes"][0][0]


def test_the_parts_add_up(model, found):
    check_sums(found)
    assert (found["parameters"], found["macs"]) == complexity(model, 64, 97)


@pytest.mark.parametrize(("height", "width"), [(321, 500), (1, 33), (640, 1)])
def test_any_size(height, width, tmp_path):
    model = network("nano_b_enhanced", tmp_path)
    found = entry.summarise(model, height, width)
    check_sums(found)
    assert found["macs"] == complexity(model, height, width).multiply_adds


def test_a_pruned_network(tmp_path):
    model = network("nano_b_enhanced", tmp_path, "model.widths={bifpn:24}")
    found = entry.summarise(model, 64, 97)
    check_sums(found)
    shapes = {part["part"]: part["output_shapes"] for part in found["parts"]}
    assert shapes["neck.bifpn"] == [[24, 8, 13], [24, 4, 7], [24, 2, 4]]


def test_parts_are_those_of_the_network(model, found):
    names = [part["part"] for part in found["parts"]]
    assert names[0] == "backbone"
    assert names[-1] == "heads"
    assert names[1:-1] == [
        f"{parent}.{name}"
        for parent in ("neck", "context")
        for name, _ in model.get_submodule(parent).named_children()
    ]
    backbone, heads = found["parts"][0], found["parts"][-1]
    assert [stage["part"] for stage in backbone["parts"]] == [
        f"backbone.stage{i}" for i in (1, 2, 3)
    ]
    assert {"heads.boxes", "heads.classes", "heads.landmarks"} <= {
        each["part"] for each in heads["parts"]
    }
    per_cell = model.priors.num_per_cell
    boxes = next(each for each in heads["parts"] if each["part"] == "heads.boxes")
    assert boxes["output_shapes"] == [
        [4 * per_cell, 8, 13], [4 * per_cell, 4, 7], [4 * per_cell, 2, 4],
    ]  # fmt: skip
    for part in found["parts"][1:-1]:
        sizes = [shape[1:] for shape in part["output_shapes"]]
        assert sizes == [[8, 13], [4, 7], [2, 4]] * (len(sizes) // 3)
    deformable = [m for m in model.modules() if isinstance(m, DeformableConv)]
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert found["layers"] == len(layers) + len(deformable)


@pytest.mark.parametrize(
    ("option", "parameters", "macs", "priors"),
    [
        ("nano_b", 385_662, 691_085_184, 16_800),
        ("nano_b_enhanced", 287_577, 493_496_896, 25_200),
        ("nano_b_enhanced_w48", 345_727, 643_393_536, 25_200),
    ],
)
def test_the_students(option, parameters, macs, priors, tmp_path):
    found = entry.summarise(network(option, tmp_path), 640, 640)
    assert (found["parameters"], found["macs"], found["priors"]) == (parameters, macs, priors)
    shapes = {part["part"]: part["output_shapes"] for part in found["parts"]}
    channels = found["parts"][-1]["parts"][0]["output_shapes"][0][0]
    assert shapes["neck.bifpn"] == [[channels, side, side] for side in (80, 40, 20)]


def test_v2_shares(tmp_path):
    found = entry.summarise(network("featherface_v2", tmp_path), 64, 96)
    parts = {part["part"]: part for part in found["parts"]}
    assert found["parameters"] == 580_375
    assert parts["neck.attention"]["parameters"] == 5_732
    assert len(parts["neck.attention"]["output_shapes"]) == 6  # before and after the pyramid
    assert parts["heads"]["parameters"] == 32 * (64 + 1)
    assert parts["heads"]["macs"] == (96 + 24 + 6) * 64 * 32
    assert [part["layers"] for part in parts["heads"]["parts"]] == [1, 1, 1]


def test_v1_by_hand():
    found = entry.summarise(featherface_v1(), 640, 640)
    assert found["parameters"] == 489_015
    assert found["macs"] == pytest.approx(1.0147e9, abs=5e4)
    assert found["priors"] == 16_800
    parts = {part["part"]: part for part in found["parts"]}
    assert [each["parameters"] for each in parts["backbone"]["parts"]] == [10_128, 99_392, 103_552]
    assert {name: part["parameters"] for name, part in parts.items()} == {
        "backbone": 213_072, "neck.bifpn": 77_916, "context.field": 3 * 64_185,
        "context.shuffle": 0, "heads": 5_472,
    }  # fmt: skip
    assert parts["context.field"]["layers"] == 3 * 5 * 3  # kernel, offsets and modulation
    assert parts["context.field"]["kind"] == "DeformableSSH"
    assert parts["backbone"]["output_shapes"] == [[64, 80, 80], [128, 40, 40], [256, 20, 20]]
    cells = 80 * 80 + 40 * 40 + 20 * 20
    assert parts["heads"]["macs"] == cells * 56 * 32
    assert parts["heads"]["output_shapes"] == [[16_800, 4], [16_800, 2], [16_800, 10]]


def test_a_shared_head_is_counted_once_and_runs_on_every_level():
    model = featherface_v1(context="conv3x3")
    alone = entry.summarise(model, 64, 96)["parts"][-1]
    for level in (1, 2):
        model.heads[level] = model.heads[0]
    found = entry.summarise(model, 64, 96)
    heads = found["parts"][-1]
    assert heads["parameters"] == 5_472 // 3
    assert heads["layers"] == 3
    assert heads["macs"] == alone["macs"]
    assert sum(part["parameters"] for part in found["parts"]) == found["parameters"]
    assert [len(each["output_shapes"]) for each in heads["parts"]] == [3, 3, 3]


def test_what_two_stages_share_stands_in_the_first():
    model = featherface_v1("v1_487103")
    inner, outer = model.neck.attention_in, model.neck.attention_out
    own = sum(p.numel() for p in outer.parameters())
    spatial = sum(p.numel() for p in outer[0].spatial.parameters())
    macs = {p["part"]: p["macs"] for p in entry.summarise(model, 64, 96)["parts"]}
    for gate in outer:
        gate.spatial = inner[0].spatial
    found = entry.summarise(model, 64, 96)
    parts = {part["part"]: part for part in found["parts"]}
    assert parts["neck.attention_out"]["parameters"] == own - 3 * spatial
    assert parts["neck.attention_in"]["parameters"] == sum(p.numel() for p in inner.parameters())
    assert found["parameters"] == 487_103 - 3 * spatial
    assert {name: part["macs"] for name, part in parts.items()} == macs


# The command


def test_what_is_written(tmp_path, caplog):
    caplog.set_level("INFO")
    found = summarised(tmp_path, "height=96", "width=160")
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written == found
    assert list(written) == [
        "parameters", "macs", "layers", "height", "width", "priors", "parts", "model",
        "option", "checkpoint", "revision",
    ]  # fmt: skip
    assert (written["height"], written["width"]) == (96, 160)
    assert written["priors"] == 2 * (12 * 20 + 6 * 10 + 3 * 5)
    assert written["model"] == featherface_v1().config
    assert written["option"] == "featherface_v1"
    assert written["checkpoint"] is None
    assert written["revision"]
    for part in written["parts"]:
        assert list(part) == [*KEYS, "parts"]
        assert all(list(each) == KEYS for each in part["parts"])
    text = (tmp_path / "summary.md").read_text()
    assert text in caplog.text
    provenance = json.loads((tmp_path / "run.json").read_text())
    assert provenance["command"] == "python -m src.summary height=96 width=160"


def test_the_table(tmp_path):
    found = summarised(tmp_path, "height=96", "width=160")
    lines = (tmp_path / "summary.md").read_text().splitlines()
    assert lines[0] == "featherface_v1: 630 priors on an image of 96 x 160 pixels"
    head, rule, *rows = [line for line in lines if line.startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert {len(line) for line in (head, rule, *rows)} == {len(head)}
    assert head.strip("| ").split()[:4] == ["part", "|", "layers", "|"]
    whole = [row for row in cells if not row[0].startswith("- ") and row[0] != "total"]
    assert cells[-1][:3] == ["total", "102", "489,015"]
    for column, count in ((1, "layers"), (2, "parameters"), (3, "macs")):
        numbers = [int(row[column].replace(",", "")) for row in whole]
        assert sum(numbers) == found[count] == int(cells[-1][column].replace(",", ""))
    assert cells[0][4] == "64x12x20, 128x6x10, 256x3x5"


def test_it_draws_when_asked(tmp_path):
    summarised(tmp_path / "without", "model=nano_b", "height=96", "width=160")
    assert not list((tmp_path / "without").rglob("*.svg"))
    summarised(tmp_path / "with", "model=nano_b", "height=96", "width=160", "diagram=true")
    drawing = (tmp_path / "with/network.svg").read_text()
    assert "385,662 parameters" in drawing
    assert "64×12×20" in drawing
    assert {"CBAM.svg", "SSH.svg"} <= {file.name for file in tmp_path.rglob("blocks/*.svg")}


def test_a_checkpoint_wins(tmp_path, weights):
    found = summarised(tmp_path, f"checkpoint={weights}", "model.preset=v1_592371")
    expected = checkpoint.load(weights).model
    assert found["parameters"] == sum(p.numel() for p in expected.parameters())
    assert found["model"] == expected.config
    assert found["checkpoint"] == str(weights)
    assert found["option"] is None
    assert (tmp_path / "summary.md").read_text().startswith(f"{weights}: ")


@pytest.mark.real_data
def test_published_weights(tmp_path, shared):
    found = summarised(tmp_path, f"checkpoint={shared}/weights/mobilenet0.25_Final.pth")
    assert found["parameters"] == 489_015
    assert found["model"]["preset"] == "v1_489015"


@pytest.mark.parametrize(
    ("option", "error", "sentence"),
    [
        ("height=0", ValueError, "height to be a whole number from 1 to 65536, got 0; set height="),
        ("width=-3", ValueError, "width to be a whole number from 1 to 65536, got -3; set width="),
        ("width=1.5", ValueError, r"width to be a whole number from 1 to 65536, got 1\.5"),
        ("height=tall", ValueError, "height to be a whole number from 1 to 65536, got 'tall'"),
        ("height=null", ValueError, "height to be a whole number from 1 to 65536, got None"),
        ("checkpoint=/nowhere.ckpt", FileNotFoundError, "checkpoint file, found none at /nowhere"),
        ("model.preset=v9", ValueError, "expected a FeatherFace V1 preset of v1_489015, "),
    ],
)
def test_wrong_options(tmp_path, option, error, sentence):
    with pytest.raises(error, match=sentence):
        summarised(tmp_path, option)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_it_starts_without_lightning():
    code = "import sys, src.summary; sys.exit('lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
