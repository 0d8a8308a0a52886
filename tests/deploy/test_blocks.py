"""Every building block, exported alone, is computed alike by every installed runtime."""

from __future__ import annotations

import importlib.util
import itertools
import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src.deploy import FORMATS
from src.deploy.executorch_file import ExecuTorchNetwork, executorch_of
from src.deploy.ncnn_file import NcnnNetwork, write_ncnn
from src.deploy.onnx_file import onnx_of
from src.deploy.onnx_runtime import FORMAT, PREFIX
from src.models.assn import ASSN, PublishedASSN
from src.models.attention import CBAM, SharedCBAM
from src.models.contexts import SSH, ChannelMixer, ConvContext, DeformableSSH, SSHWidths
from src.models.decoupling import ScaleDecoupling
from src.models.heads import Heads, LevelHead, SharedMultiHead
from src.models.layers import ConvNorm, DepthwiseSeparable, PerLevel, SeparableConv
from src.models.necks import BiFPN, BiFPNLayer, TopDown
from src.models.semantic import SemanticEnhancement

CLOSE = 2e-5
SHAPES = [(1, 64, 96), (3, 64, 96), (1, 101, 77), (3, 133, 229), (1, 33, 50)]
C = 8
WIDTHS = SSHWidths.dense(C)


def each(make) -> nn.Module:
    """A block of one tensor, at every level."""
    return PerLevel(make() for _ in range(3))


class SharedGates(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = SharedCBAM([C])

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        return [self.attention(x) for x in levels]


BLOCKS = {
    "convolution": lambda: each(lambda: ConvNorm(C, C, kernel=3, stride=2, slope=0.1)),
    "depthwise separable": lambda: each(lambda: DepthwiseSeparable(C, C, stride=2, slope=0.1)),
    "separable": lambda: each(lambda: SeparableConv(C, C)),
    "CBAM": lambda: each(lambda: CBAM(C, hidden=3)),
    "shared CBAM": SharedGates,
    "V1's BiFPN": lambda: BiFPNLayer(C, [C] * 3),
    "BiFPN": lambda: BiFPN(C, [C] * 3),
    "top-down": lambda: TopDown(C, [C] * 3),
    "decoupling": lambda: ScaleDecoupling(C, hidden=2),
    "deep evidence": lambda: ScaleDecoupling(C, hidden=2, deep_channels=C),
    "semantic": lambda: SemanticEnhancement(C, dictionary=4, hidden=[2] * 3),
    "semantic as drawn": lambda: SemanticEnhancement(
        C, dictionary=4, hidden=[2] * 3, all_levels=True, fused_gate=True
    ),
    "ASSN": lambda: ASSN(C, gate=2, fusion=3),
    "published ASSN": lambda: PublishedASSN(C, gate=2, widths=[C, C, 4, 4, 4, 4]),
    "SSH": lambda: each(lambda: SSH(C, WIDTHS, groups=2)),
    "SSH with a 1x1": lambda: each(lambda: SSH(C, SSHWidths.dense(C, pointwise=True), groups=2)),
    "deformable SSH": lambda: PerLevel([DeformableSSH(C, WIDTHS), nn.Identity(), nn.Identity()]),
    "3x3 context": lambda: each(lambda: ConvContext(C, C)),
    "mixer": lambda: each(lambda: ChannelMixer(C, reduce=4, expand=C)),
    "heads": lambda: Heads([C] * 3, 2),
    "heads with stems": lambda: Heads([C] * 3, 2, stems=[6] * 3),
    "shared head": lambda: SharedMultiHead(C, 2, stem=6),
}
LACKING = {
    "OpenCV": {"deep evidence"},
    "ncnn": {"deformable SSH"},
    "executorch": {"deformable SSH", "decoupling", "deep evidence", "ASSN"},
}
"""Blocks that a format cannot hold, and says so."""


class Alone(nn.Module):
    """A block behind three strided convolutions, which stand for a backbone."""

    def __init__(self, name: str) -> None:
        super().__init__()
        sizes = [3, C, C, C]
        self.levels = nn.ModuleList(
            nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in itertools.pairwise(sizes)
        )
        self.block = BLOCKS[name]()
        self.outputs = ("first", "second", "third")

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        levels, x = [], pixels / 128 - 1
        for convolution in self.levels:
            x = convolution(x)
            levels.append(x)
        return tuple(self.block(levels))


def pixels(*shape: int) -> np.ndarray:
    batch, height, width = shape
    rng = np.random.default_rng(sum(shape))
    return rng.uniform(0, 256, (batch, 3, height, width)).astype(np.float32)


@torch.no_grad()
def alone(name: str) -> Alone:
    """With random weights, so that no branch of it is nothing."""
    graph = Alone(name)
    for module in graph.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.05, 0.2)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, std=0.2)
    for parameter in graph.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return graph.eval()


@torch.no_grad()
def compare(graph: Alone, network, shapes=SHAPES) -> None:
    for shape in shapes:
        images = pixels(*shape)
        found = network(images)
        for name, ours in zip(graph.outputs, graph(torch.from_numpy(images)), strict=True):
            assert found[name].shape == ours.shape
            difference = np.abs(found[name] - ours.numpy()).max()
            assert difference < CLOSE * ours.abs().max(), (shape, name)


def needs(*packages: str):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_onnx(name, tmp_path):
    graph = alone(name)
    proto = onnx_of(graph)
    proto.metadata_props.add(key=PREFIX + "format", value=json.dumps(FORMAT))
    (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
    installed = [reader for reader in FORMATS["onnx"].readers if reader.installed]
    assert {"ONNX Runtime", "OpenCV"} <= {reader.name for reader in installed}
    for reader in installed:
        network = reader.load(tmp_path / "a.onnx", graph.outputs)
        if name in LACKING.get(reader.name, ()):
            with pytest.raises(ValueError, match=f"^{reader.name} .* cannot run it"):
                network(pixels(*SHAPES[0]))
        else:
            compare(graph, network)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 64, 96), (1, 101, 77)])
@pytest.mark.parametrize("name", ["V1's BiFPN", "BiFPN", "semantic"])
def test_onnx_of_one_size(name, shape, tmp_path):
    """V1's pooling above all: ONNX Runtime pads it with something else than zeros."""
    graph = alone(name)
    (tmp_path / "a.onnx").write_bytes(onnx_of(graph, size=shape[1:]).SerializeToString())
    for reader in FORMATS["onnx"].readers:
        if reader.installed:
            compare(graph, reader.load(tmp_path / "a.onnx", graph.outputs), [shape])


@pytest.mark.slow
@needs("ncnn", "pnnx")
@pytest.mark.parametrize("name", BLOCKS)
def test_ncnn(name, tmp_path):
    graph, file = alone(name), tmp_path / "a.ncnn.param"
    if name in LACKING["ncnn"]:
        with pytest.raises(ValueError, match=r"^expected a network of operators that ncnn has"):
            write_ncnn(graph, file)
    else:
        write_ncnn(graph, file)
        compare(graph, NcnnNetwork(file, graph.outputs))


@pytest.mark.slow
@needs("executorch")
@pytest.mark.parametrize("name", BLOCKS)
def test_executorch(name, tmp_path):
    graph, file = alone(name), tmp_path / "a.pte"
    if name in LACKING["executorch"]:
        with pytest.raises(ValueError, match=r"^expected a network that ExecuTorch can take"):
            executorch_of(graph)
    else:
        file.write_bytes(executorch_of(graph))
        compare(graph, ExecuTorchNetwork(file, graph.outputs))


def test_a_wrong_runtime_would_be_seen():
    graph = alone("convolution")

    def wrong(images):
        with torch.no_grad():
            values = graph(torch.from_numpy(images))
        return {
            name: value.flip(1).numpy() for name, value in zip(graph.outputs, values, strict=True)
        }

    with pytest.raises(AssertionError):
        compare(graph, wrong)


def test_a_level_head_is_among_the_blocks():
    assert any(isinstance(module, LevelHead) for module in alone("heads").modules())
