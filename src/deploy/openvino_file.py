"""OpenVINO: its own files (.xml and .bin), and ONNX files, which it reads too."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.deploy.onnx_file import export_onnx
from src.deploy.onnx_runtime import PREFIX, described
from src.deploy.options import ExportOptions
from src.deploy.runtime import require
from src.models import FaceDetector


class OpenVinoNetwork:
    """A file on the CPU in float32: ``OpenVinoNetwork(path, outputs)(pixels)``.

    Float32 is asked for: by itself OpenVINO 2026.4 computes in bfloat16 where a processor can,
    which moves boxes by pixels.

    Args:
        path: ``.xml`` with its ``.bin`` beside it, or ``.onnx``.
        outputs: their names, in the order of the file.
        threads: that a network may use.

    Raises:
        ValueError: openvino is missing or cannot read the file.
    """

    def __init__(self, path: Path, outputs: Sequence[str], *, threads: int = 1) -> None:
        openvino = _openvino()
        self.outputs = list(outputs)
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        try:
            self._network = openvino.Core().compile_model(str(path), "CPU", settings)
        except RuntimeError as error:
            raise ValueError(f"OpenVINO cannot read {path}: {_reason(error)}") from None

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        try:
            values = self._network(pixels.astype(np.float32, copy=False))
        except RuntimeError as error:
            raise ValueError(f"OpenVINO cannot run it: {_reason(error)}") from None
        return dict(zip(self.outputs, [np.array(v) for v in values.values()], strict=True))


def export_openvino(model: FaceDetector, path: Path, options: ExportOptions) -> None:
    """Write ``path`` (.xml) and the weights beside it (.bin), from the ONNX file's graph.

    fp16 halves the weights in the file; OpenVINO computes as the processor likes. Metadata are
    those of the ONNX file, as ``rt_info``.
    """
    openvino = _openvino()
    (onnx,) = require("onnx")
    half = options.precision == "fp16"
    between = path.with_suffix(".onnx")
    export_onnx(model, between, options._replace(precision="fp32") if half else options)
    network = openvino.Core().read_model(between)
    for item in onnx.load(between).metadata_props:
        network.set_rt_info(item.value, ["featherface", item.key.removeprefix(PREFIX)])
    openvino.save_model(network, path, compress_to_fp16=half)
    between.unlink()


def openvino_facts(path: Path) -> tuple[list[str], dict[str, Any]]:
    """Names of the outputs of a file, and what ``src.export`` wrote about it, if it did.

    Raises:
        ValueError: openvino is missing or cannot read the file.
    """
    openvino = _openvino()
    try:
        network = openvino.Core().read_model(path)
        ours = network.has_rt_info(["featherface"])
        said = network.get_rt_info(["featherface"]).value if ours else {}
    except RuntimeError as error:
        raise ValueError(f"OpenVINO cannot read {path}: {_reason(error)}") from None
    properties = {PREFIX + name: str(value) for name, value in said.items()}
    return [output.get_any_name() for output in network.outputs], described(properties, path)


def _openvino() -> Any:
    """OpenVINO, which by itself tells Intel whenever it is imported: not from here."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return require("openvino", extra="openvino")[0]


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
