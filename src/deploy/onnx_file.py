"""A network as an ONNX file that says what it is."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.fx.experimental import _config as symbolic_shapes

from src.deploy.graph import INPUT
from src.deploy.onnx_one_size import one_size_graph
from src.deploy.onnx_runtime import FORMAT, PREFIX
from src.deploy.options import ExportOptions, graph_of
from src.deploy.quantised import quantise
from src.deploy.runtime import require
from src.models import FaceDetector
from src.runs.provenance import revision

_PLAIN = ExportOptions()
FIRST_OPSET = 18
"""Oldest that torch.onnx.export(dynamo=True) writes; asked for an older one it writes this."""
EXAMPLE = (2, 3, 101, 69)
"""Shape of the images that are traced: its levels have odd sides. With an even side torch.export
(2.13) looks for the sizes at which V1's pooling pads nothing, and its solver gives up."""


def export_onnx(model: FaceDetector, path: Path, options: ExportOptions = _PLAIN) -> None:
    """Write ``model`` as one ONNX file for any number and size of images, or for one size.

    Input: ``pixels``, float32 BGR [B, 3, H, W], 0 to 255. Outputs: see :mod:`src.deploy.graph`. Its
    metadata are JSON values under names that begin with ``featherface.``: ``format``, ``model``
    (the network's configuration), ``parameters``, ``revision``, ``decode``, ``nms``, ``precision``
    and ``priors`` (sizes and strides per level in pixels, variances: what decoding needs beside the
    outputs).

    Args:
        model: on the CPU, in eval mode; left as it is.
        path: written without a detour: give a temporary one and move it.
        options: what it computes.

    Raises:
        ValueError: an opset that cannot be written, or the packages of the extra are missing.
    """
    (onnx,) = require("onnx")
    proto = onnx_of(graph_of(model, options), opset=options.opset, size=options.size)
    for name, value in _metadata(model, options).items():
        proto.metadata_props.add(key=PREFIX + name, value=json.dumps(value))
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())
    if options.precision == "int8":
        quantise(path, options.calibration)


def onnx_of(graph: nn.Module, *, opset: int = 20, size: tuple[int, int] | None = None) -> Any:
    """An ``onnx.ModelProto`` of a module from images to its ``outputs``, by name.

    Args:
        graph: the module.
        opset: version of the operators.
        size: height and width of its only images, one at a time; None: any number and size.

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
    with quiet():
        exported = torch.onnx.export(
            traced(graph, size), (), dynamo=True, opset_version=opset, external_data=False,
            verbose=False, input_names=[INPUT], output_names=list(graph.outputs),  # type: ignore[arg-type]
            custom_translation_table={torch.ops.featherface.suppress.default: _suppress()},
        )  # fmt: skip
        assert exported is not None  # it is None for the old exporter only
        proto = exported.model_proto
    if {item.domain: item.version for item in proto.opset_import}.get("") != opset:
        raise unwritable
    _strip(proto)
    if size is None:
        _name_sizes(proto)
        return proto
    with quiet():
        return one_size_graph(proto)


def _suppress() -> Callable[..., Any]:
    """:func:`src.deploy.graph.suppress` in ONNX operators.

    Boxes come best first: their places are their scores, which no tie can reorder.
    """
    op = require("onnxscript.onnx_opset")[0].opset18

    def translated(boxes: Any, valid: Any, iou_threshold: float) -> Any:
        width = op.Shape(valid, start=1, end=2)
        zero, one = op.Constant(value_int=0), op.Constant(value_int=1)
        places = op.Range(op.Squeeze(width), zero, op.Constant(value_int=-1))  # K to 1
        scores = op.Mul(op.Cast(valid, to=1), op.Cast(places, to=1))
        chosen = op.NonMaxSuppression(
            boxes, op.Unsqueeze(scores, op.Reshape(one, op.Constant(value_ints=[1]))), width,
            op.Constant(value_floats=[iou_threshold]), op.Constant(value_floats=[0.0]),
        )  # fmt: skip
        rows = op.Gather(chosen, op.Constant(value_ints=[0, 2]), axis=1)  # image, box
        ones = op.Expand(op.Constant(value_float=1.0), op.Shape(rows, start=0, end=1))
        return op.Cast(op.ScatterND(op.Mul(scores, op.Constant(value_float=0.0)), rows, ones), to=9)

    return translated


def traced(graph: nn.Module, size: tuple[int, int] | None = None) -> torch.export.ExportedProgram:
    """The graph of any number and size of images, or of one image of one size."""
    if size is not None:
        with torch.no_grad():
            return torch.export.export(graph, (torch.zeros(1, 3, *size),), strict=False)
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
    """Take out where in our code each node came from, paths included."""
    del proto.metadata_props[:]
    proto.graph.doc_string = ""
    for item in (*proto.graph.node, *proto.graph.input, *proto.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    for item in proto.graph.initializer:
        del item.metadata_props[:]
    del proto.graph.value_info[:]  # shapes in between: every runtime infers them


def _name_sizes(proto: Any) -> None:
    """Call the free axes what they are."""
    for axis, name in _AXES.items():
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    for output in proto.graph.output:
        batch, *rest = output.type.tensor_type.shape.dim
        batch.dim_param = "batch"
        for rows in rest[:1]:
            if not rows.dim_value:  # faces of suppression have a fixed number
                rows.dim_param = "priors"


def _metadata(model: FaceDetector, options: ExportOptions) -> dict[str, Any]:
    priors = model.priors
    return {
        "format": FORMAT,
        "model": model.config,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "revision": revision(),
        "decode": options.decode or options.decoder is not None,
        "nms": None if options.decoder is None else dataclasses.asdict(options.decoder),
        "precision": options.precision,
        "priors": {
            "sizes": priors.sizes, "strides": priors.strides, "variances": priors.variances
        },
    }  # fmt: skip


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter's notes to its developers, which it logs as warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
