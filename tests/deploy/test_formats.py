"""Every format, as far as its packages are installed: what is written computes what it should."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from test_onnx import lively, pixels, pruned_student

from src.deploy import FORMATS, ExportOptions, differences, expected, graph_of
from src.deploy.parity import Expected
from src.deploy.quantised import quantise
from src.deploy.runtime import is_installed
from src.detection.decoding import Decoder

SHAPES = [(1, 64, 96), (3, 101, 77), (1, 160, 64)]
DECODER = Decoder(score_threshold=0.4, nms_iou=0.4, top_k=60)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return lively(pruned_student())


def installed(name):
    form = FORMATS[name]
    packages = {*form.packages, *(reader.package for reader in form.readers[:1])}
    if not all(is_installed(package) for package in packages):
        pytest.skip(f"{', '.join(sorted(packages))} are not all installed")
    return form


def written(name, model, folder, options):
    form = installed(name)
    file = folder / f"network{form.suffixes[0]}"
    form.write(model, file, options)
    assert sorted(each.name for each in folder.iterdir()) == sorted(
        "network" + suffix for suffix in form.suffixes
    )
    return form, file


def compare(name, model, folder, options, close=3e-5, shapes=SHAPES):
    form, file = written(name, model, folder, options)
    wanted = [expected(model, pixels(*shape), options) for shape in shapes]
    for reader in form.readers:
        if reader.installed and not (reader.name == "OpenCV" and options.decoder):
            network = reader.load(file, tuple(wanted[0].outputs))
            for output, difference in differences(network, wanted).items():
                assert difference.relative < close, (reader.name, output, difference)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "onnx"])
def test_raw_outputs(name, model, tmp_path):
    compare(name, model, tmp_path, ExportOptions())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["openvino", "pt2"])
def test_decoded(name, model, tmp_path):
    compare(name, model, tmp_path, ExportOptions(decode=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino"])
@pytest.mark.parametrize("shape", [(1, 64, 96), (1, 101, 77)])
def test_decoded_of_one_size(name, shape, model, tmp_path):
    compare(name, model, tmp_path, ExportOptions(decode=True, size=shape[1:]), shapes=[shape])


@pytest.mark.slow
def test_a_graph_of_one_size_is_of_operators_that_opencv_4_knows(model, tmp_path):
    written("onnx", model, tmp_path, ExportOptions(decode=True, size=(64, 96)))
    graph = onnx.load(tmp_path / "network.onnx").graph
    constants = {tensor.name for tensor in graph.initializer}
    assert not {node.op_type for node in graph.node} & {"Shape", "Clip", "Range", "Expand", "If"}
    for node in graph.node:
        assert "" not in node.input
        assert not constants.issuperset(node.input)
    assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [1, 3, 64, 96]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_suppression_in_the_graph(name, model, tmp_path):
    compare(name, model, tmp_path, ExportOptions(decoder=DECODER))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino", "ncnn"])
def test_half_precision(name, model, tmp_path):
    compare(name, model, tmp_path, ExportOptions(precision="fp16"), close=3e-2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_int8(name, model, tmp_path):
    options = ExportOptions(precision="int8", calibration=[pixels(1, 64, 96), pixels(2, 101, 77)])
    form, file = written(name, model, tmp_path, options)
    ours = expected(model, pixels(1, 64, 96), options)
    theirs = form.readers[0].load(file, tuple(ours.outputs))(ours.pixels)
    for output, value in ours.outputs.items():
        apart = np.abs(theirs[output] - value).mean() / np.abs(value).mean()
        assert 1e-4 < apart < 0.3, (output, apart)


def test_more_and_less_are_differences():
    ours = Expected(np.zeros((1, 3, 8, 8), np.uint8), {"deltas": np.array([[1.0, -4.0]])})
    for error in (-0.5, 0.5):
        found = differences(
            lambda _, error=error: {"deltas": np.array([[1.0 + error, -4]])}, [ours]
        )
        assert found["deltas"] == (0.5, 4.0)


@pytest.mark.parametrize("shape", [*SHAPES, (2, 20, 33)])
def test_the_graph_with_suppression_gives_what_the_decoder_gives(shape, model):
    options = ExportOptions(decoder=DECODER)
    graph = graph_of(model, options)
    ours = expected(model, pixels(*shape), options)
    with torch.no_grad():
        found = graph(torch.from_numpy(ours.pixels).float())
    values = {name: value.numpy() for name, value in zip(graph.outputs, found, strict=True)}
    assert values["boxes"].shape == (shape[0], DECODER.top_k, 4)
    assert (values["count"] > 0).all()
    for name, difference in differences(lambda pixels: values, [ours]).items():
        assert difference.relative < 1e-5, name


def test_faces_of_two_images_do_not_suppress_each_other(model):
    options = ExportOptions(decoder=DECODER)
    graph = graph_of(model, options)
    images = torch.from_numpy(pixels(2, 64, 96)).float()
    with torch.no_grad():
        both, first = graph(images), graph(images[:1])
        twice = graph(images[:1].expand(2, -1, -1, -1))
    assert both[-1][0] == first[-1][0] == twice[-1][1]
    torch.testing.assert_close(both[0][:1], first[0], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(twice[0][1], twice[0][0])


def test_int8_without_images(tmp_path):
    with pytest.raises(ValueError, match="expected images to find the scales of int8, got none"):
        quantise(tmp_path / "a.onnx", [])
