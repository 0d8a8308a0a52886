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
from src.deploy import FORMATS, Difference, Reader
from src.types import MEAN_BGR


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

    def write(model, path, options):
        fabricate_onnx(path, decode=options.decode, parameters=7)

    def compare(network, batches):
        seen.append([batch.pixels for batch in batches])
        return found

    form = FORMATS["onnx"]._replace(write=write, readers=FORMATS["onnx"].readers[::2])
    monkeypatch.setitem(FORMATS, "onnx", form)
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
    (image, part, three), again = fabricated[1]  # in two runtimes
    np.testing.assert_array_equal(image, picture().transpose(2, 0, 1)[None])
    np.testing.assert_array_equal(part, image[:, :, :26, :33])
    np.testing.assert_array_equal(three[0], image[0, :, :39, :49])
    np.testing.assert_array_equal(three[1], three[0, :, :, ::-1])
    np.testing.assert_array_equal(three[2], 255 - three[0])
    assert len(again) == 3
    assert list(results["differences"]) == ["ONNX Runtime", "OpenCV"]
    assert results["differences"]["OpenCV"]["deltas"] == {
        "largest": 1e-7, "scale": 2.0, "relative": 5e-8
    }  # fmt: skip
    assert results["unread"] == results["ap"] == {}
    assert "on 1 images: ONNX Runtime: deltas 1e-07, logits 0; OpenCV: deltas" in caplog.text
    assert len(caplog.records) == 1


def test_images_are_brought_to_the_size_of_the_file(fabricated, weights, photo, tmp_path):
    options = [f"checkpoint={weights}", f"source={photo}", "size=[20,60]"]
    with composed("export", tmp_path / "run", *options) as config:
        results = src.export.export(config, tmp_path / "run")
    assert results["size"] == (20, 60)
    assert results["shapes"] == [[1, 3, 20, 60]] * 3
    image, mirrored, negative = fabricated[1][0]
    assert (image[0, :, :, 25:].transpose(1, 2, 0) == MEAN_BGR).all()  # 40 x 50 became 20 x 25
    assert image[0, :, :, :25].std() > 10
    np.testing.assert_array_equal(mirrored, image[..., ::-1])
    np.testing.assert_array_equal(negative, 255 - image)


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
    assert len(fabricated[1][0]) == 4


def refuse(path, outputs, threads):
    raise ValueError(f"it cannot read {path}")


def test_a_runtime_that_cannot_read_the_file_is_named(
    fabricated, weights, photo, tmp_path, caplog, monkeypatch
):
    first, other = FORMATS["onnx"].readers
    readers = (first, other._replace(open=refuse))
    monkeypatch.setitem(FORMATS, "onnx", FORMATS["onnx"]._replace(readers=readers))
    with composed("export", tmp_path / "run", f"checkpoint={weights}", f"source={photo}") as config:
        results = src.export.export(config, tmp_path / "run")
    assert list(results["unread"]) == ["OpenCV"]
    assert "not compared in OpenCV, which does not read this file: it cannot read" in caplog.text
    assert (tmp_path / "run" / f"{weights.stem}.onnx").is_file()


def test_the_runtime_of_a_format_must_read_its_files(fabricated, complaint, photo, monkeypatch):
    first, other = FORMATS["onnx"].readers
    readers = (first._replace(open=refuse), other)
    monkeypatch.setitem(FORMATS, "onnx", FORMATS["onnx"]._replace(readers=readers))
    assert complaint(f"source={photo}").startswith("it cannot read")


def test_files_of_two_parts_and_what_differs_between_them(weights, photo, tmp_path, monkeypatch):
    def write(model, path, options):
        path.write_bytes(b"graph")
        path.with_name(path.name.replace(".param", ".bin")).write_bytes(b"weights")

    form = FORMATS["ncnn"]._replace(write=write, packages=(), readers=(
        Reader("ncnn", "cv2", lambda path, outputs, threads: lambda pixels: {}),
    ))  # fmt: skip
    monkeypatch.setitem(FORMATS, "ncnn", form)
    monkeypatch.setattr(src.export, "differences", lambda network, batches: {})
    options = [f"checkpoint={weights}", f"source={photo}", "format=ncnn"]
    with composed("export", tmp_path / "run", *options) as config:
        results = src.export.export(config, tmp_path / "run")
    parts = [tmp_path / "run" / f"{weights.stem}.ncnn.{kind}" for kind in ("param", "bin")]
    assert [part.read_bytes() for part in parts] == [b"graph", b"weights"]
    assert results["file"] == str(parts[0])
    assert results["bytes"] == len(b"graph" + b"weights")
    assert not list((tmp_path / "run").glob(".export-*"))


@pytest.mark.parametrize("value", [0.1, float("nan"), float("inf")])
def test_a_file_that_computes_something_else(value, fabricated, complaint, photo):
    fabricated[0]["logits"] = Difference(value, 2.0)
    found = complaint(f"source={photo}")
    assert found.startswith("expected logits of the exported network in ONNX Runtime within 0.0001")
    assert "no file was kept" in found


def test_a_mistake_of_ours_leaves_no_file_either(monkeypatch, weights, photo, tmp_path):
    form = FORMATS["onnx"]._replace(write=lambda *given: 1 / 0)
    monkeypatch.setitem(FORMATS, "onnx", form)
    options = [f"checkpoint={weights}", f"source={photo}"]
    with composed("export", tmp_path / "run", *options) as config, pytest.raises(ZeroDivisionError):
        src.export.export(config, tmp_path / "run")
    assert list(tmp_path.rglob("*.onnx*")) == []


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("format=foo", "expected a format of onnx, openvino, ncnn, "),
        ("precision=fp8", "expected a precision of fp32, fp16, int8; got 'fp8'"),
        ("tolerance=0", "expected tolerance to be a number from 1e-12 to 1, got 0; set tolerance="),
        ("num_images=0", "expected num_images to be a whole number of at least 1, got 0"),
        ("checkpoint=/nowhere.ckpt", "expected a checkpoint file, found none at /nowhere.ckpt"),
        ("output=faces.pt", "expected output=NAME.onnx, a file, got faces.pt"),
        ("source=/nowhere", "expected an image or a folder of images at source=/nowhere, found no"),
        ("opset=9", "expected an opset from 18 to "),
        ("size=[640]", "expected height and width, size=[480,640], got size=[640]"),
        ("size=[0,640]", "expected size[0] to be a whole number from 1 to 65536, got 0; set size="),
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


@pytest.mark.parametrize(
    ("package", "form", "extra"),
    [
        ("onnx", "onnx", "export"), ("onnxscript", "onnx", "export"),
        ("onnxruntime", "onnx", "export"), ("openvino", "openvino", "openvino"),
        ("ncnn", "ncnn", "ncnn"), ("executorch", "executorch", "executorch"),
    ],
)  # fmt: skip
def test_missing_packages(package, form, extra, complaint, monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    assert complaint("checkpoint=/nowhere.ckpt", f"format={form}") == (
        f"expected the packages of the {extra} extra, found no {package}; "
        f"run make install, or pip install -e '.[{extra}]'"
    )


@pytest.mark.parametrize(
    ("options", "able"),
    [
        (["format=ncnn", "decode=true"], "onnx, openvino, pt2 for decode=true, got ncnn"),
        (["format=pt2", "nms=true"], "onnx, openvino for nms=true, got pt2"),
        (["format=pt2", "precision=fp16"], "onnx, openvino, ncnn for precision=fp16, got pt2"),
        (["format=ncnn", "precision=int8"], "onnx, openvino for precision=int8, got ncnn"),
        (["format=pt2", "size=[48,64]"], "onnx, openvino for size=[48, 64], got pt2"),
    ],
)
def test_what_a_format_cannot_hold(options, able, complaint, photo):
    assert complaint(f"source={photo}", *options) == f"expected one of format={able}"
