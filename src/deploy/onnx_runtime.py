"""ONNX files run by ONNX Runtime: exported ones, and those of others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src.deploy.runtime import require

FORMAT = 1
PREFIX = "featherface."
"""What our names in the metadata of a file begin with."""


class OnnxFile:
    """An ONNX file of one input on the CPU: ``OnnxFile(path)(pixels)``.

    Args:
        path: of the file.
        threads: that one operator may use; operators run one after another.

    Attributes:
        properties: its metadata, as text.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, or onnxruntime is missing.
    """

    def __init__(self, path: str | Path, *, threads: int = 1) -> None:
        (onnxruntime,) = require("onnxruntime")
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(
                f"expected an ONNX file, found none at {path}; python -m src.export writes one"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # what goes wrong is raised as well
        content = self.path.read_bytes()
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception:  # those of ONNX Runtime have no narrower base
            raise ValueError(
                f"expected an ONNX file that ONNX Runtime {onnxruntime.__version__} can read, got "
                f"a damaged {path} or one of a newer opset; export it again with opset=20"
            ) from None
        try:
            self.properties: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
            self._input = self._session.get_inputs()[0].name
            self._names = [output.name for output in self._session.get_outputs()]
        except UnicodeDecodeError:
            raise ValueError(
                f"expected names and metadata in UTF-8 in {path}, got others; export the "
                "checkpoint again"
            ) from None

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name for pixels of any type, in the order of axes that the file wants.

        Raises:
            ValueError: images of another shape.
        """
        try:
            values = self._session.run(None, {self._input: pixels.astype(np.float32, copy=False)})
        except Exception as error:  # as above
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"expected {self.path} to take pixels of shape {pixels.shape}, got: {reason}"
            ) from None
        return dict(zip(self._names, values, strict=True))


class OnnxNetwork(OnnxFile):
    """An exported network: an :class:`OnnxFile` written by ``src.export``.

    Attributes:
        metadata: ``model``, ``parameters``, ``decode``, ``priors``, ``revision``; see
            :func:`src.deploy.export_onnx`.

    Raises:
        ValueError: a file of somebody else.
    """

    def __init__(self, path: str | Path, *, threads: int = 1) -> None:
        super().__init__(path, threads=threads)
        self.metadata = described(self.properties, self.path)
        if self.metadata.get("format") != FORMAT:
            raise ValueError(
                f"expected an ONNX file of src.export, format {FORMAT}, got format "
                f"{self.metadata.get('format')} in {path}; export the checkpoint again"
            )


def described(properties: Mapping[str, str], path: str | Path) -> dict[str, Any]:
    """What a file of ``src.export`` says of itself; nothing in a file of somebody else.

    Raises:
        ValueError: a value that is no JSON.
    """
    metadata: dict[str, Any] = {}
    for name in (name for name in properties if name.startswith(PREFIX)):
        try:
            metadata[name.removeprefix(PREFIX)] = json.loads(properties[name])
        except (ValueError, RecursionError):
            raise ValueError(
                f"expected JSON as metadata {name} in {path}, got {properties[name][:60]!r}; "
                "export the checkpoint again"
            ) from None
    return metadata
