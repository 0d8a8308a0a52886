"""Exported networks: their file, and what it says of itself, to all who read it.

And networks of others: a YuNet that teaches, and one that is described for a contest.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from fabricated_onnx import fabricate_yunet
from onnx import ModelProto

from featherface import Detector
from src.contest.entry import read_entry
from src.deploy.onnx_file import export_onnx
from src.deploy.onnx_runtime import OnnxNetwork
from src.deploy.options import ExportOptions
from src.distillation import YuNet
from src.models import plain

from .format import Format

_IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def _export(folder: Path) -> list[Path]:
    torch.manual_seed(0)
    small = plain(stem=4, stages=[4] * 4, blocks=[0] * 4, channels=4).eval()
    export_onnx(small, folder / "a.onnx", ExportOptions(decode=True))
    return [folder / "a.onnx"]


def _by_the_framework(folder: Path) -> None:
    OnnxNetwork(folder / "a.onnx")(_IMAGE.transpose(2, 0, 1)[None])


def _by_the_package(folder: Path) -> None:
    Detector(folder / "a.onnx", threshold=0.1)(_IMAGE)


def _metadata_of(content: bytes) -> bytes:
    found = onnx.load_model_from_string(content).metadata_props
    return json.dumps({each.key: each.value for each in found}).encode()


def _with_metadata(text: bytes, content: bytes) -> bytes:
    """The file with other metadata; where they are no table of texts, as one text."""
    model: ModelProto = onnx.load_model_from_string(content)
    try:
        table = json.loads(text)
        values = {str(key): str(value) for key, value in table.items()}
    except (ValueError, AttributeError):
        values = {"featherface.model": text.decode(errors="replace")}
    del model.metadata_props[:]
    for key, value in values.items():
        model.metadata_props.add(key=key, value=value.encode(errors="replace").decode())
    return model.SerializeToString()


def _yunet(folder: Path) -> list[Path]:
    fabricate_yunet(folder / "a.onnx")
    return [folder / "a.onnx"]


def _as_teacher(folder: Path) -> None:
    YuNet(folder / "a.onnx")(torch.from_numpy(_IMAGE[:, :64].transpose(2, 0, 1)[None].copy()))


_ABOUT = """# A detector of somebody else
file: a.onnx
name: theirs
runtime: ONNX Runtime
colour: BGR
mean: &m [0, 0, 0]
scale: 1.0
multiple: 32
size: null
decoding: yunet
priors: {sizes: [[16, 32], [64]], strides: [8, 16], variances: [0.1, 0.2]}
"""


def _described(folder: Path) -> list[Path]:
    (folder / "a.yaml").write_text(_ABOUT)
    return [*_yunet(folder), folder / "a.yaml"]


FORMATS = {
    "yunet": Format(_yunet, _as_teacher),
    "contest": Format(_described, lambda folder: read_entry(str(folder / "a.yaml"))),
    "onnx": Format(_export, _by_the_framework),
    "onnx-package": Format(_export, _by_the_package),
    "onnx-metadata": Format(_export, _by_the_framework, _metadata_of, _with_metadata),
}
