"""Entries and contenders: what is found out of a file, and that it runs as it should."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import yaml
from fabricated_onnx import fabricate_onnx
from onnx import TensorProto, helper

from src import checkpoint
from src.contest.contender import Contender
from src.contest.entry import EAGER, read_entries, read_entry
from src.deploy import FORMATS, ExportOptions
from src.deploy.runtime import is_installed
from src.detection.decoding import Decoder
from src.detector import Detector

DECODER = Decoder(score_threshold=0.45)


def foreign(path, sides=("b", 3, "h", "w")):
    """A detector of somebody else: what it says of a pixel depends on the first channel alone."""
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, sides)
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("b", "s")]
    initial = [
        helper.make_tensor("four", TensorProto.INT64, [3], [1, -1, 4]),
        helper.make_tensor("one", TensorProto.INT64, [3], [1, -1, 1]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [2]),
    ]
    nodes = [
        helper.make_node("Reshape", ["input", "four"], ["b"]),
        helper.make_node("ReduceMax", ["b", "axis"], ["s"], keepdims=1),
    ]
    graph = helper.make_graph(nodes, "foreign", [image], outputs, initial)
    opset = [helper.make_opsetid("", 20)]
    path.write_bytes(helper.make_model(graph, opset_imports=opset, ir_version=10)
                     .SerializeToString())  # fmt: skip
    return path


def described(folder, **settings):
    path = folder / "entry.yaml"
    path.write_text(yaml.safe_dump(settings))
    return str(path)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (77, 101, 3), dtype=np.uint8)


def test_a_checkpoint_is_the_detector(weights, image):
    entry = read_entry(str(weights))
    assert (entry.runtime, entry.bytes) == (EAGER, weights.stat().st_size)
    model = checkpoint.load(weights).model
    assert entry.parameters == sum(each.numel() for each in model.parameters())
    ours = Contender(entry, DECODER)(image)
    wanted = Detector(model, decoder=DECODER, device="cpu")(image)
    assert len(wanted.scores) > 5
    for a, b in zip(ours, wanted, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["raw", "boxes", "faces"])
def test_every_format_finds_the_same(name, kind, weights, image, tmp_path):
    form = FORMATS[name]
    if not all(is_installed(each) for each in (*form.packages, form.readers[0].package)):
        pytest.skip(f"{', '.join(form.packages)} are not all installed")
    if not {"raw": True, "boxes": form.decode, "faces": form.nms}[kind]:
        pytest.skip(f"{name} does not hold {kind}")
    model = checkpoint.load(weights).model
    decoder = DECODER if kind == "faces" else None
    file = tmp_path / f"network{form.suffixes[0]}"
    form.write(model, file, ExportOptions(decode=kind == "boxes", decoder=decoder))
    wanted = Detector(model, decoder=DECODER, device="cpu")(image)
    readers = form.readers[:1] if kind == "faces" else form.readers  # OpenCV lacks an operator
    for reader in (each for each in readers if each.installed):
        entry = read_entry(described(tmp_path, file=file.name, runtime=reader.name.lower()))
        assert entry.runtime == reader.name
        assert entry.bytes == sum(each.stat().st_size for each in form.parts(file))
        found = Contender(entry, DECODER)(image)
        # Scores that are equal but for rounding may change places.
        row = torch.cdist(found.boxes, wanted.boxes).argmin(dim=1)
        assert row.sort().values.equal(torch.arange(len(wanted.boxes)))
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b[row], rtol=1e-3, atol=1e-2)


def test_what_a_graph_tells(tmp_path):
    free = read_entry(str(foreign(tmp_path / "a.onnx")))
    assert (free.layout, free.size, free.runtime) == ("NCHW", None, "ONNX Runtime")
    fixed = read_entry(str(foreign(tmp_path / "b.onnx", (1, 48, 64, 3))))
    assert (fixed.layout, fixed.size) == ("NHWC", (48, 64))
    assert list(fixed.outputs) == ["b", "s"]


def test_priors_and_parameters_of_our_files(tmp_path):
    priors = {"sizes": [[8.0]], "strides": [16], "variances": [0.1, 0.2]}
    fabricate_onnx(tmp_path / "a.onnx", parameters=17, priors=priors)
    entry = read_entry(str(tmp_path / "a.onnx"))
    assert (entry.parameters, entry.priors) == (17, priors)


def test_preparation_as_a_yaml_file_says(tmp_path):
    foreign(tmp_path / "a.onnx")
    given = described(tmp_path, file="a.onnx", colour="RGB", mean=[1, 2, 3], scale=0.5, multiple=8)
    contender = Contender(read_entry(given), DECODER)
    image = np.full((5, 9, 3), (30, 20, 10), np.uint8)
    prepared = contender.prepare(image)
    assert prepared.pixels.shape == (1, 3, 8, 16)
    assert prepared.pixels[0, :, 0, 0].tolist() == [4.5, 9.0, 13.5]
    assert prepared.pixels[0, :, 5:].tolist() == np.zeros((3, 3, 16)).tolist()  # the mean
    assert prepared.pixels[0, :, :, 9:].tolist() == np.zeros((3, 8, 7)).tolist()
    assert prepared.scale == (1.0, 1.0)


def test_images_are_fitted_to_the_only_size(tmp_path):
    foreign(tmp_path / "a.onnx", (1, 48, 64, 3))
    contender = Contender(read_entry(str(tmp_path / "a.onnx")), DECODER)
    prepared = contender.prepare(np.full((96, 96, 3), 7, np.uint8))
    assert prepared.pixels.shape == (1, 48, 64, 3)
    assert (prepared.scale, prepared.height, prepared.width) == ((0.5, 0.5), 48, 64)
    assert prepared.pixels[0, :, :48].min() == 7
    assert prepared.pixels[0, :, 48:].max() == 0
    box = {"b": np.array([[[2, 4, 6, 8]]], np.float32), "s": np.ones((1, 1, 1), np.float32)}
    assert contender.faces(box, prepared).boxes.tolist() == [[4, 8, 12, 16]]


def test_one_name_for_two_files(tmp_path):
    paths = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        paths.append(str(foreign(tmp_path / folder / "a.onnx")))
    foreign(tmp_path / "b.onnx")
    entries = read_entries([*paths, str(tmp_path / "b.onnx")])
    assert [entry.name for entry in entries] == [*paths, "b.onnx"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"colour": "GBR"}, "expected BGR or RGB as colour of .*a.onnx, got 'GBR'"),
        ({"layout": "CHW"}, "expected NCHW or NHWC as layout"),
        ({"mean": [1, 2]}, "expected three numbers as mean"),
        ({"scale": 0}, "expected a number other than 0 as scale"),
        ({"multiple": 0}, "expected a whole number of at least 1 as multiple"),
        ({"size": 320}, "expected height and width as size"),
        ({"decoding": "ssd"}, "expected one of raw, boxes, faces, yunet as decoding"),
        ({"priors": [1]}, "expected sizes, strides and variances as priors"),
        ({"runtime": "TensorRT"}, "expected runtime to be one of ONNX Runtime, OpenVINO, OpenCV"),
        ({"norm": 1}, "expected settings among file, name, .*got norm"),
        ({"file": "b.onnx"}, "expected the files of a network, found no b.onnx"),
        ({"file": None}, "expected file: NAME.onnx among the settings"),
    ],
)
def test_settings_that_cannot_be(settings, sentence, tmp_path):
    foreign(tmp_path / "a.onnx")
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        read_entry(described(tmp_path, **{"file": "a.onnx", **settings}))


def test_files_that_are_none(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    (tmp_path / "a.yaml").write_text("a: [")
    (tmp_path / "c.yaml").write_bytes(b"file: \xff")
    (tmp_path / "d.yaml").write_text("file: gone.ckpt")
    (tmp_path / "e.yaml").write_text("file: a.onnx")
    for name, sentence in {
        "a.onnx": "expected an ONNX file in .* got a damaged one",
        "a.yaml": "expected YAML about a network in",
        "b.yaml": "expected a YAML file about a network, found none",
        "c.yaml": r"expected YAML about a network in .*c\.yaml, got: 'utf-8' codec",
        "d.yaml": r"/d\.yaml: expected a checkpoint file, found none at gone\.ckpt",
        "e.yaml": r"/e\.yaml: expected an ONNX file in .* got a damaged one",
        "b.ckpt": "expected a checkpoint file, found none",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=sentence):
            read_entry(str(tmp_path / name))


def test_priors_that_are_none(tmp_path):
    foreign(tmp_path / "a.onnx")
    entry = read_entry(described(tmp_path, file="a.onnx", priors={"steps": [8]}))
    with pytest.raises(ValueError, match=r"expected sizes, strides and variances .* got steps"):
        Contender(entry, DECODER)


@pytest.mark.real_data
@pytest.mark.parametrize("runtime", ["ONNX Runtime", "OpenCV"])
def test_yunet_as_opencv_runs_it(runtime, shared, tmp_path):
    file = shared / "peers" / "yunet_n_dynamic.onnx"
    photo = cv2.imread(str(sorted((shared / "widerface" / "val").rglob("*.jpg"))[0]))
    height, width = photo.shape[:2]
    theirs = cv2.FaceDetectorYN.create(str(file), "", (width, height), 0.6, 1.0, 5000)
    _, wanted = theirs.detect(photo)
    decoder = Decoder(score_threshold=0.6, nms_iou=1.0)
    found = Contender(read_entry(described(tmp_path, file=str(file), runtime=runtime)), decoder)(
        photo
    )
    order = np.argsort(-wanted[:, 14], kind="stable")
    sizes = np.concatenate([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], axis=1)
    assert len(wanted) > 3
    np.testing.assert_allclose(found.scores, wanted[order, 14], atol=1e-4)
    np.testing.assert_allclose(sizes, wanted[order, :4], atol=0.05)
    np.testing.assert_allclose(found.landmarks.flatten(1), wanted[order, 4:14], atol=0.05)
