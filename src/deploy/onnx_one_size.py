"""An ONNX graph of images of one size, as OpenCV 4 can read it and ONNX Runtime computes it.

OpenCV's dnn module reads files of any size from version 5 on; 4.5 to 4.14 stop at the first node
that asks for a shape. A graph of one size asks for none, and 4.8 to 4.14 read it as the exporter
writes it. Before them four things stood in the way, each by the message of the version named:

- computing with constants, as with priors: 4.5 and 4.6 cannot give a constant another axis;
- a clip with bounds as inputs: 4.6 knows bounds as attributes only, which opset 11 took away;
- inputs left out, as the two in the middle of ``Resize``: 4.5 looks for a node without a name;
- a constant that is repeated along an axis between two others, which 4.5 and 4.6 cannot do.

ONNX Runtime (1.31) merges a padding by a constant number of zeros into the max pooling behind it,
which pads with minus infinity: of V1's pooling outputs were off by up to 0.08 of their scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from src.deploy.runtime import require

_ELEMENTWISE = ("Add", "Sub", "Mul", "Div")
_ANY = 2**40
"""Bytes: constants of whatever size are computed."""
_NEARLY_ZERO = 1e-30
"""Pads as a zero does, and is none that ONNX Runtime would merge."""


def one_size_graph(proto: Any) -> Any:
    """A graph with the same values; those that a clip cuts, to rounding.

    Args:
        proto: ``onnx.ModelProto`` of fixed sizes, which this may change.
    """
    onnx, optimizer = require("onnx", "onnxscript.optimizer")
    proto = optimizer.optimize(proto, input_size_limit=_ANY, output_size_limit=_ANY)
    graph = proto.graph
    for name, value in (("nothing", []), ("nearly_zero", _NEARLY_ZERO)):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.float32), name))
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        if node.op_type == "Clip" and len(node.input) == 3 and not node.input[1]:
            graph.node.extend(_at_most(onnx, node))
            continue
        if node.op_type == "Resize":
            node.input[:] = [name or "nothing" for name in node.input]
        elif node.op_type == "Pad" and len(node.input) == 2:
            node.input.append("nearly_zero")
        graph.node.append(node)
    _repeat_constants(onnx, proto)
    _drop_unused(graph)
    return proto


def _at_most(onnx: Any, clip: Any) -> list[Any]:
    """min(x, c) as x - relu(x - c)."""
    values, _, bound = clip.input
    over, excess = f"{clip.output[0]}_over", f"{clip.output[0]}_excess"
    return [
        onnx.helper.make_node("Sub", [values, bound], [over], over),
        onnx.helper.make_node("Relu", [over], [excess], excess),
        onnx.helper.make_node("Sub", [values, excess], list(clip.output), clip.name),
    ]


def _repeat_constants(onnx: Any, proto: Any) -> None:
    """Write out constants that have an axis of length 1 between longer ones."""
    shapes = {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in onnx.shape_inference.infer_shapes(proto).graph.value_info
    }
    initializer = proto.graph.initializer
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in initializer}
    for node in proto.graph.node:
        if node.op_type not in _ELEMENTWISE:
            continue
        for place, other in enumerate(reversed(node.input)):
            values = constants.get(node.input[place])
            if values is None or other not in shapes or not _has_gap(values.shape):
                continue
            name = f"{node.input[place]}_repeated_in_{node.name}"
            whole = np.ascontiguousarray(
                np.broadcast_to(values, np.broadcast_shapes(values.shape, shapes[other]))
            )
            initializer.append(onnx.numpy_helper.from_array(whole, name))
            node.input[place] = name


def _has_gap(shape: tuple[int, ...]) -> bool:
    longer = [axis for axis, side in enumerate(shape) if side > 1]
    return bool(longer) and 1 in shape[longer[0] : longer[-1]]


def _drop_unused(graph: Any) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
