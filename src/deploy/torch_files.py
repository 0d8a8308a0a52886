"""PyTorch's own files: ``.pt2`` (torch.export) and ``.torchscript``, which need only torch.

TorchScript is deprecated by PyTorch in favour of the other, and kept for programs that load it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from src.deploy.onnx_file import EXAMPLE, quiet, traced
from src.deploy.options import ExportOptions, graph_of
from src.models import FaceDetector


class TorchNetwork:
    """A file of either kind, written by this module: reading one runs what is in it.

    Args:
        path: of the file.
        outputs: their names, in its order.
    """

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        self.outputs = list(outputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix == ".pt2":
                self._network = torch.export.load(path).module()
            else:
                self._network = torch.jit.load(str(path))

    @torch.no_grad()
    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        values = self._network(torch.from_numpy(pixels.astype(np.float32, copy=False)))
        return {name: v.numpy() for name, v in zip(self.outputs, values, strict=True)}


def export_pt2(model: FaceDetector, path: Path, options: ExportOptions) -> None:
    """Write ``path``: ``torch.export.load(path).module()(pixels)`` runs it."""
    with quiet():
        torch.export.save(traced(graph_of(model, options)), path)


def export_torchscript(model: FaceDetector, path: Path, options: ExportOptions) -> None:
    """Write ``path``: ``torch.jit.load(path)(pixels)`` runs it, in C++ too."""
    with quiet(), torch.no_grad():
        graph = torch.jit.trace(graph_of(model, options), torch.zeros(EXAMPLE), check_trace=False)
        torch.jit.save(graph, str(path))
