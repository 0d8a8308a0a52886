"""ncnn: ``NAME.ncnn.param`` and ``NAME.ncnn.bin``, made by pnnx from a traced network."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from src.deploy.options import ExportOptions, graph_of
from src.deploy.runtime import require
from src.models import FaceDetector
from src.models.folding import without_parity

SHAPES = ((1, 3, 64, 96), (1, 3, 133, 229))
"""What is traced and a second shape: pnnx takes a side that both have for a constant, also at
stride 32."""


class NcnnNetwork:
    """A file on the CPU in float32: ``NcnnNetwork(path, outputs)(pixels)``, image after image.

    Args:
        path: ``NAME.ncnn.param``, with ``NAME.ncnn.bin`` beside it.
        outputs: their names, in the order of the file, which calls them ``out0``, ``out1``, ...

    Raises:
        ValueError: ncnn is missing or cannot read the file.
    """

    def __init__(self, path: Path, outputs: Sequence[str], *, threads: int = 1) -> None:
        (self._ncnn,) = require("ncnn", extra="ncnn")
        self.outputs = list(outputs)
        self._net = self._ncnn.Net()
        options = self._net.opt
        options.num_threads = threads
        for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(options, f"use_{name}", False)
        if self._net.load_param(str(path)) or self._net.load_model(str(path.with_suffix(".bin"))):
            raise ValueError(f"ncnn cannot read {path}: an operator that it lacks")

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        images = [self._image(image) for image in pixels.astype(np.float32, copy=False)]
        return {
            name: np.stack(values)
            for name, values in zip(self.outputs, zip(*images, strict=True), strict=True)
        }

    def _image(self, image: np.ndarray) -> list[np.ndarray]:
        extractor = self._net.create_extractor()
        extractor.input("in0", self._ncnn.Mat(np.ascontiguousarray(image)).clone())
        found = [extractor.extract(f"out{place}") for place in range(len(self.outputs))]
        if any(failed for failed, _ in found):
            raise ValueError(f"ncnn cannot run it on an image of shape {image.shape}")
        return [np.array(value) for _, value in found]


def export_ncnn(model: FaceDetector, path: Path, options: ExportOptions) -> None:
    """Write ``path`` (``NAME.ncnn.param``) and its weights (``NAME.ncnn.bin``).

    Raises:
        ValueError: a network with operators that ncnn lacks, or packages of the extra are missing.
    """
    # fp16 is how ncnn stores weights; the graph is the same.
    graph = graph_of(model, options._replace(precision="fp32"))
    write_ncnn(graph, path, half=options.precision == "fp16")


def write_ncnn(graph: nn.Module, path: Path, *, half: bool = False) -> None:
    """The same of any module that takes one image.

    Raises:
        ValueError: as above.
    """
    pnnx, _ = require("pnnx", "ncnn", extra="ncnn")
    graph = without_parity(graph)
    with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated; pnnx reads nothing else
        traced = Path(folder) / "traced.pt"
        torch.jit.trace(graph, torch.zeros(SHAPES[0]), check_trace=False).save(str(traced))
        first, second = ("[" + ",".join(map(str, shape)) + "]" for shape in SHAPES)
        subprocess.run(
            [pnnx.EXEC_PATH, traced.name, f"inputshape={first}", f"inputshape2={second}",
             f"ncnnparam={path.resolve()}", f"ncnnbin={path.with_suffix('.bin').resolve()}",
             f"fp16={int(half)}"],
            cwd=folder, capture_output=True, check=False,
        )  # fmt: skip
    unknown = _unknown(path)
    if unknown:
        raise ValueError(
            f"expected a network of operators that ncnn has, got one with {', '.join(unknown)}; "
            "format=onnx takes every network"
        )


def _unknown(path: Path) -> list[str]:
    """Operators that pnnx left as they were, for ncnn has none for them."""
    if not path.is_file():
        return ["what pnnx cannot read"]
    kinds = {line.split()[0] for line in path.read_text().splitlines()[2:] if line.strip()}
    return sorted(kind for kind in kinds if "." in kind or "::" in kind)
