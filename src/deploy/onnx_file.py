"""A network as an ONNX file that says what it is."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.fx.experimental import _config as symbolic_shapes

from src.deploy.graph import INPUT, PixelsToFaces
from src.deploy.runtime import FORMAT, PREFIX, require
from src.detection.decoding import Candidates
from src.models import FaceDetector
from src.runs.provenance import revision
from src.types import Outputs

SUFFIX = ".onnx"
FIRST_OPSET = 18
"""Oldest that torch.onnx.export(dynamo=True) writes; asked for an older one it writes this."""
EXAMPLE = (2, 3, 101, 69)
"""Shape of the images that are traced: its levels have odd sides. With an even side torch.export
(2.13) looks for the sizes at which V1's pooling pads nothing, and its solver gives up."""


def export_onnx(model: FaceDetector, path: Path, *, decode: bool = False, opset: int = 20) -> None:
    """Write ``model`` as one ONNX file for any number and size of images.

    Input: ``pixels``, float32 BGR [B, 3, H, W], 0 to 255. Outputs: see :class:`PixelsToFaces`. Its
    metadata are JSON values under names that begin with ``featherface.``: ``format``, ``model``
    (the network's configuration), ``parameters``, ``revision``, ``decode`` and ``priors`` (sizes
    and strides per level in pixels, variances: what decoding needs beside the outputs).

    Args:
        model: on the CPU, in eval mode; left as it is.
        path: written without a detour: give a temporary one and move it.
        decode: boxes in pixels instead of raw outputs.
        opset: version of the ONNX operators.

    Raises:
        ValueError: an opset that cannot be written, or the packages of the extra are missing.
    """
    onnx = require("onnx", "onnxscript")[0]
    newest = onnx.defs.onnx_opset_version()
    unwritable = ValueError(
        f"expected an opset from {FIRST_OPSET} to {newest} that the exporter can write, got "
        f"{opset}; set opset=20"
    )
    if not FIRST_OPSET <= opset <= newest:
        raise unwritable
    names = (Candidates if decode else Outputs)._fields
    with _quiet():
        program = _traced(PixelsToFaces(model, decode=decode).eval())
        exported = torch.onnx.export(
            program, (), dynamo=True, opset_version=opset, external_data=False, verbose=False,
            input_names=[INPUT], output_names=list(names),
        )  # fmt: skip
        assert exported is not None  # it is None for the old exporter only
        proto = exported.model_proto
    if {item.domain: item.version for item in proto.opset_import}.get("") != opset:
        raise unwritable
    _strip(proto)
    del proto.metadata_props[:]
    for name, value in _metadata(model, decode=decode).items():
        proto.metadata_props.add(key=PREFIX + name, value=json.dumps(value))
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())


def _traced(graph: PixelsToFaces) -> torch.export.ExportedProgram:
    sizes = {axis: torch.export.Dim(name, min=1) for axis, name in _AXES.items()}
    # What holds for every size but cannot be proven must not narrow the sizes: both settings, the
    # first as torch.onnx itself has it, keep torch.export from assuming what is true of EXAMPLE.
    oblivious = symbolic_shapes.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    with torch.no_grad(), oblivious:
        return torch.export.export(
            graph, (torch.zeros(EXAMPLE),), dynamic_shapes=(sizes,), strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )  # fmt: skip


_AXES = {0: "batch", 2: "height", 3: "width"}


def _strip(proto: Any) -> None:
    """Take out where in our code each node came from, paths included, and name the sizes."""
    proto.graph.doc_string = ""
    for item in (*proto.graph.node, *proto.graph.input, *proto.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    for item in proto.graph.initializer:
        del item.metadata_props[:]
    del proto.graph.value_info[:]  # shapes in between: every runtime infers them
    for axis, name in _AXES.items():
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    for output in proto.graph.output:
        shape = output.type.tensor_type.shape
        shape.dim[0].dim_param, shape.dim[1].dim_param = "batch", "priors"


def _metadata(model: FaceDetector, *, decode: bool) -> dict[str, Any]:
    priors = model.priors
    return {
        "format": FORMAT,
        "model": model.config,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "revision": revision(),
        "decode": decode,
        "priors": {
            "sizes": priors.sizes, "strides": priors.strides, "variances": priors.variances
        },
    }  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's notes to its developers, which it logs as warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
