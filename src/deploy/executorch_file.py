"""ExecuTorch: one ``.pte`` file whose convolutions XNNPACK computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch._dynamo.exc import UserError
from torch.fx.experimental import _config as symbolic_shapes

from src.deploy.onnx_file import EXAMPLE, quiet
from src.deploy.options import ExportOptions, graph_of
from src.deploy.runtime import require
from src.models import FaceDetector
from src.models.folding import without_parity

LARGEST = 1280
"""Pixels of the longest side: ExecuTorch sets memory aside for it."""


class ExecuTorchNetwork:
    """A file on the CPU: ``ExecuTorchNetwork(path, outputs)(pixels)``, image after image.

    Args:
        path: of the file.
        outputs: their names, in its order.

    Raises:
        ValueError: executorch is missing or cannot read the file.
    """

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        (runtime,) = require("executorch.runtime", extra="executorch")
        self.outputs = list(outputs)
        try:
            self._program = runtime.Runtime.get().load_program(Path(path))
            self._method = self._program.load_method("forward")
        except RuntimeError as error:
            raise ValueError(f"ExecuTorch cannot read {path}: {error}") from None

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        images = torch.from_numpy(pixels.astype(np.float32, copy=False)).split(1)
        try:
            # Copied: the next image is computed in the same memory.
            found = [[v.clone() for v in self._method.execute([image])] for image in images]
        except RuntimeError as error:
            raise ValueError(f"ExecuTorch cannot run it: {error}") from None
        return {
            name: torch.cat(values).numpy()
            for name, values in zip(self.outputs, zip(*found, strict=True), strict=True)
        }


def export_executorch(model: FaceDetector, path: Path, options: ExportOptions) -> None:
    """Write ``path``, for one image of any size up to :data:`LARGEST`.

    Raises:
        ValueError: a network that ExecuTorch cannot take, or executorch is missing.
    """
    path.write_bytes(executorch_of(graph_of(model, options)))


def executorch_of(graph: nn.Module) -> bytes:
    """The same of any module that takes one image.

    Raises:
        ValueError: as above.
    """
    exir, xnnpack = require(
        "executorch.exir", "executorch.backends.xnnpack.partition.xnnpack_partitioner",
        extra="executorch",
    )  # fmt: skip
    sizes = {axis: torch.export.Dim(name, min=1, max=LARGEST)
             for axis, name in ((2, "height"), (3, "width"))}  # fmt: skip
    oblivious = symbolic_shapes.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    try:
        with quiet(), torch.no_grad():
            # As for ONNX, but without asserts on sizes, which ExecuTorch does not take.
            with oblivious:
                program = torch.export.export(
                    without_parity(graph), (torch.zeros(1, *EXAMPLE[1:]),),
                    dynamic_shapes=(sizes,), strict=False,
                )  # fmt: skip
            partitioner = [xnnpack.XnnpackPartitioner()]
            lowered = exir.to_edge_transform_and_lower(program, partitioner=partitioner)
            return lowered.to_executorch().buffer
    except (RuntimeError, UserError) as error:
        reason = str(error).strip().splitlines()[0].split("! For more")[0]
        raise ValueError(
            f"expected a network that ExecuTorch can take, got: {reason}; format=onnx takes every "
            "network"
        ) from None
