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
