"""What a network is checked for, and that each check can fail."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from composing import TINY_DATA, complaint_of, composed

from src import checkpoint
from src import validate as command
from src.models import featherface_v1
from src.validate import outputs_fit, precise_enough, read_expected, validate

SMALL = ["sizes=[64,[70,97]]", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("network") / "small.ckpt"
    checkpoint.save(file, featherface_v1(channels=16, bifpn_repeats=1, context="conv3x3"))
    return file


def run(folder, *overrides):
    with composed("validate", folder, *SMALL, *overrides) as config:
        return {check.name: check for check in validate(config, folder)}


@pytest.mark.slow  # an export takes ten seconds
def test_a_sound_network_passes(network, tmp_path):
    checks = run(tmp_path, f"checkpoint={network}", "target.parameters=null")
    assert list(checks) == [
        "parameters", "outputs at 64 x 64", "outputs at 97 x 70", "pruning", "ONNX file",
    ]  # fmt: skip
    assert all(check.passed for check in checks.values()), checks
    written = json.loads((tmp_path / "validate.json").read_text())["checks"]
    assert [tuple(each) for each in written] == [tuple(check) for check in checks.values()]


def test_a_large_network_fails(network, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "exports_the_same", lambda *_: (True, ""))
    checks = run(tmp_path, f"checkpoint={network}", "target.parameters=1000")
    assert [name for name, check in checks.items() if not check.passed] == ["parameters"]


def test_outputs_that_are_no_numbers_fail(network):
    model = checkpoint.load(network).model.eval()
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    passed, found = outputs_fit(model, 64, 64)
    assert not passed
    assert "not all finite" in found


def test_a_check_that_breaks_has_failed(network, tmp_path, monkeypatch):
    def breaks(*_):
        raise ValueError("expected one thing,\n got another")

    monkeypatch.setattr(command, "exports_the_same", breaks)
    checks = run(tmp_path, f"checkpoint={network}", "target.parameters=null")
    assert checks["ONNX file"] == ("ONNX file", False, "expected one thing, got another")


@pytest.mark.parametrize(("least", "passed"), [(0.0, True), (0.99, False)])
def test_precision_is_compared(network, tmp_path, least, passed):
    model = checkpoint.load(network).model.eval()
    data = [*TINY_DATA, f"data.root={tmp_path / 'tiny'}"]
    with composed("validate", tmp_path, f"checkpoint={network}", *SMALL, *data) as config:
        assert precise_enough(model, {"ap_hard": least}, config)[0] is passed
        assert not precise_enough(model, {"ap_huge": least}, config)[0]


@pytest.mark.parametrize("content", ["", "[1]", "ap_easy: high", "ap_easy: 90.0", "{", "3: 0.5"])
def test_what_is_no_table_of_aps(tmp_path, content):
    file = tmp_path / "expected.yaml"
    file.write_text(content)
    with pytest.raises(ValueError, match=rf"^expected .* in {file}, got"):
        read_expected(file)


@pytest.mark.parametrize("sizes", ["[0]", "[[1,2,3]]", "[a]"])
def test_sizes_that_are_none(network, tmp_path, sizes):
    sentence = complaint_of(validate, "validate", tmp_path, f"checkpoint={network}",
                            f"sizes={sizes}")  # fmt: skip
    assert sentence.startswith("expected sizes")


@pytest.mark.parametrize(("most", "status"), [("null", 0), (1000, 1)])
def test_the_exit_status(network, tmp_path, monkeypatch, most, status):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "exports_the_same", lambda *_: (True, ""))
    settings = [f"checkpoint={network}", "sizes=[64]", f"target.parameters={most}"]
    monkeypatch.setattr(sys, "argv", ["validate", *settings])
    with pytest.raises(SystemExit) as stop:
        command.main()
    assert stop.value.code == status
