"""The command that turns a network into another of its scheme."""

from __future__ import annotations

import json

import pytest
from composing import TINY_DATA, composed

from src import checkpoint
from src.cli.settings import check_types
from src.convert_network import convert_network


def test_convert_network(student, tmp_path):
    folder = tmp_path / "run"
    given = [
        f"checkpoint={student}", f"data.root={tmp_path / 'tree'}", *TINY_DATA,
        "data.image_size=64", "data.batch_size=2", "num_images=4", "trainer=cpu",
        "model=nano_b", "model.channels=8",
    ]  # fmt: skip
    with composed("convert_network", folder, *given) as config:
        check_types(config)
        results = convert_network(config, folder)
    written = json.loads((folder / "conversion.json").read_text())
    assert {**written, "metrics": None} == {**results, "metrics": None}  # NaN is null there
    model, facts = checkpoint.load(folder / "converted.ckpt")
    assert model.config["channels"] == 8
    assert results["parameters"][1] == sum(p.numel() for p in model.parameters())
    assert results["parameters"][1] < results["parameters"][0]
    assert facts["conversion"] == {"from": str(student)}
    assert facts["metrics"] == pytest.approx(results["metrics"], nan_ok=True)
    assert 0 <= results["metrics"]["ap"] <= 1
    assert results["unexplained"]
