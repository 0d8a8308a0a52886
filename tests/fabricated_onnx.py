"""ONNX files of one operator, for tests to which the network does not matter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

from src.deploy.onnx_runtime import FORMAT, PREFIX


def fabricate_onnx(path: Path, **metadata: Any) -> None:
    """Write a file that returns half of its ``pixels`` as ``deltas`` and claims ``metadata``."""
    image, half = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, "height", "width"])
        for name in ("pixels", "deltas")
    )
    graph = helper.make_graph(
        [helper.make_node("Mul", ["pixels", "factor"], ["deltas"])], "half", [image], [half],
        [helper.make_tensor("factor", TensorProto.FLOAT, [], [0.5])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    for name, value in {"format": FORMAT, **metadata}.items():
        model.metadata_props.add(key=PREFIX + name, value=json.dumps(value))
    path.write_bytes(model.SerializeToString())


def fabricate_yunet(path: Path) -> None:
    """Write a file of YuNet's scheme: every cell sees a quarter of a face as large as itself."""
    kinds = {"cls": (1, 0.5), "obj": (1, 0.5), "bbox": (4, 0.0), "kps": (10, 0.0)}
    nodes, outputs, constants = [], [], []
    for kind, (channels, value) in kinds.items():
        for stride in (8, 16, 32):
            name = f"{kind}_{stride}"
            constants += [
                helper.make_tensor(f"{name}_weight", TensorProto.FLOAT, [channels, 3, 1, 1],
                                   [0.0] * 3 * channels),
                helper.make_tensor(f"{name}_bias", TensorProto.FLOAT, [channels],
                                   [value] * channels),
                helper.make_tensor(f"{name}_shape", TensorProto.INT64, [3], [0, -1, channels]),
            ]  # fmt: skip
            nodes += [
                helper.make_node("Conv", ["input", f"{name}_weight", f"{name}_bias"],
                                 [f"{name}_map"], strides=[stride, stride]),
                helper.make_node("Transpose", [f"{name}_map"], [f"{name}_last"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}_last", f"{name}_shape"], [name]),
            ]  # fmt: skip
            outputs.append(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "dim", channels])
            )
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, "h", "w"])
    graph = helper.make_graph(nodes, "yunet", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())
