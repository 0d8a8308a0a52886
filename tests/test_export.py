"""The export command: what it compares on, and what it leaves when something is wrong."""

from __future__ import annotations

import json
import sys

import cv2
import numpy as np
import pytest
from composing import complaint_of, composed
from fabricated_onnx import fabricate_onnx

import src.export
from src.deploy import Difference


def picture(height=40, width=50):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def photo(tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), picture())
    return tmp_path / "photo.png"


@pytest.fixture
def complaint(weights, tmp_path):
    """``complaint("a=1")``: the sentence that the command ends with."""

    def run(*overrides):
        options = [f"checkpoint={weights}", *overrides]
        text = complaint_of(src.export.export, "export", tmp_path / "run", *options)
        assert list(tmp_path.rglob("*.onnx*")) == []
        assert list(tmp_path.rglob("export.json")) == []
        return text

    return run


@pytest.fixture
def fabricated(monkeypatch):
    """Exports take no time: the file holds another network, and compares as equal."""
    found = {"deltas": Difference(1e-7, 2.0), "logits": Difference(0.0, 0.0)}
    seen = []

    def write(model, path, *, decode, opset):
        fabricate_onnx(path, decode=decode, parameters=7)

    def compare(model, network, batches):
        seen.extend(batches)
        return found

    monkeypatch.setattr(src.export, "export_onnx", write)
    monkeypatch.setattr(src.export, "differences", compare)
    return found, seen


def test_a_photo_and_a_file_of_ones_own(fabricated, weights, photo, tmp_path, caplog):
    file = tmp_path / "new" / "faces.onnx"
    options = [f"checkpoint={weights}", f"source={photo}", f"output={file}", "decode=true"]
    caplog.set_level("INFO")
    with composed("export", tmp_path / "run", *options) as config:
        results = src.export.export(config, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "export.json").read_text()) == results
    assert [each.name for each in file.parent.iterdir()] == ["faces.onnx"]
    assert results["decode"] is True
    assert results["images"] == [str(photo)]
    image, both = fabricated[1]
    np.testing.assert_array_equal(image, picture().transpose(2, 0, 1)[None])
    np.testing.assert_array_equal(both[0], image[0, :, :-1, :-1])
    np.testing.assert_array_equal(both[1], both[0, :, :, ::-1])
    assert results["differences"]["deltas"] == {"largest": 1e-7, "scale": 2.0, "relative": 5e-8}
    assert "largest difference on 1 images: deltas 1e-07, logits 0" in caplog.text
    assert len(caplog.records) == 1


def test_a_folder_and_the_name_of_the_checkpoint(fabricated, weights, tmp_path):
    for number in range(3):
        (tmp_path / "photos" / str(number)).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "photos" / str(number) / "a.JPG"), picture())
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    options = [f"checkpoint={weights}", f"source={tmp_path / 'photos'}", "num_images=2"]
    with composed("export", tmp_path / "run", *options) as config:
        results = src.export.export(config, tmp_path / "run")
    assert results["file"] == str(tmp_path / "run" / f"{weights.stem}.onnx")
    assert len(results["images"]) == 2
    assert len(fabricated[1]) == 3


@pytest.mark.parametrize("value", [0.1, float("nan"), float("inf")])
def test_a_file_that_computes_something_else(value, fabricated, complaint, photo):
    fabricated[0]["logits"] = Difference(value, 2.0)
    found = complaint(f"source={photo}")
    assert "expected logits of the exported network within 0.0001 of its scale, got a " in found
    assert "no file was kept" in found


def test_a_mistake_of_ours_leaves_no_file_either(monkeypatch, weights, photo, tmp_path):
    monkeypatch.setattr(src.export, "export_onnx", lambda *a, **k: 1 / 0)
    options = [f"checkpoint={weights}", f"source={photo}"]
    with composed("export", tmp_path / "run", *options) as config, pytest.raises(ZeroDivisionError):
        src.export.export(config, tmp_path / "run")
    assert list(tmp_path.rglob("*.onnx*")) == []


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("format=foo", "expected a format of onnx; got 'foo'"),
        ("tolerance=0", "expected tolerance to be a number from 1e-12 to 1, got 0; set tolerance="),
        ("num_images=0", "expected num_images to be a whole number of at least 1, got 0"),
        ("checkpoint=/nowhere.ckpt", "expected a checkpoint file, found none at /nowhere.ckpt"),
        ("output=faces.pt", "expected output=NAME.onnx, a file, got faces.pt"),
        ("source=/nowhere", "expected an image or a folder of images at source=/nowhere, found no"),
        ("opset=9", "expected an opset from 18 to "),
    ],
)
def test_settings(option, sentence, complaint, photo):
    assert complaint(f"source={photo}", option).startswith(sentence)


def test_no_checkpoint(complaint, photo):
    found = complaint(f"source={photo}", f"checkpoint={photo}")
    assert found.startswith("expected a PyTorch checkpoint of plain tensors in")


def test_a_folder_without_images(complaint, tmp_path):
    (tmp_path / "empty").mkdir()
    found = complaint(f"source={tmp_path / 'empty'}")
    assert found.startswith("expected an image or a folder of images at source=")


def test_a_damaged_image(complaint, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8nothing")
    assert "expected an image that can be decoded, got a damaged file" in complaint(
        f"source={tmp_path / 'a.jpg'}"
    )


def test_an_output_that_cannot_be_written(complaint, photo):
    found = complaint(f"source={photo}", f"output={photo}/faces.onnx")
    assert found.startswith(f"expected to read or write {photo}")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_packages(package, complaint, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert complaint("checkpoint=/nowhere.ckpt") == (
        f"expected the packages of the export extra, found no {package}; "
        "run make install, or pip install -e '.[export]'"
    )
