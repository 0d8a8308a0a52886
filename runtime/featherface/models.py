"""Networks: those inside the package by name, others by their ONNX file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featherface.packages import onnxruntime

WEIGHTS = Path(__file__).resolve().parent / "weights"
_SUFFIX = "_decoded.onnx"
MODELS = tuple(sorted(file.name.removesuffix(_SUFFIX) for file in WEIGHTS.glob(f"*{_SUFFIX}")))
"""Names of the networks inside the package."""
_INPUT = "pixels"
_OUTPUTS = ["boxes", "scores", "landmarks"]
_METADATA = "featherface."


class Model:
    """A network that gives boxes in pixels, not suppressed.

    Args:
        name: one of :data:`MODELS`, or an ONNX file that ``src.export decode=true`` wrote.
        providers: of ONNX Runtime, the preferred one first; "cuda" is CUDAExecutionProvider. By
            default the CPU.
        session_options: ``onnxruntime.SessionOptions``; by default all cores are used.

    Attributes:
        metadata: what the file says of itself: ``parameters``, ``revision``, ``model``, ...

    Raises:
        FileNotFoundError: no such file or name.
        ValueError: another kind of file, a damaged one, or a provider that is not there.
    """

    def __init__(
        self,
        name: str | Path,
        *,
        providers: Sequence[str] | None = None,
        session_options: Any = None,
    ) -> None:
        self.name = str(name)
        chosen = _available(providers or ["cpu"])
        options = session_options
        if options is None:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3  # errors
        content = _content(name)
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=chosen)
        except Exception as error:  # those of ONNX Runtime have no narrower base
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"expected an ONNX file that ONNX Runtime {onnxruntime.__version__} can run with "
                f"{', '.join(chosen)}, got {name}: {reason}"
            ) from None
        self.providers = self._session.get_providers()
        try:
            found = self._session.get_modelmeta().custom_metadata_map
            inputs = [each.name for each in self._session.get_inputs()]
            outputs = {each.name for each in self._session.get_outputs()}
        except UnicodeDecodeError:
            raise ValueError(
                f"expected names and metadata in UTF-8 in {name}, got others: the file is damaged"
            ) from None
        self.metadata: dict[str, Any] = {}
        for key in (key for key in found if key.startswith(_METADATA)):
            try:
                self.metadata[key.removeprefix(_METADATA)] = json.loads(found[key])
            except (ValueError, RecursionError):
                raise ValueError(
                    f"expected JSON as metadata {key} in {name}, got {found[key][:60]!r}; export "
                    "it again with python -m src.export decode=true"
                ) from None
        if inputs != [_INPUT] or not outputs.issuperset(_OUTPUTS):
            raise ValueError(
                f"expected a file with the input {_INPUT} and the outputs {', '.join(_OUTPUTS)}, "
                f"got {', '.join(inputs)} and {', '.join(sorted(outputs))} in {name}; export it "
                "with python -m src.export decode=true"
            )

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes [B, P, 4], scores [B, P], landmarks [B, P, 5, 2] of BGR pixels [B, 3, H, W].

        Args:
            pixels: float32, 0 to 255.

        Raises:
            ValueError: the file is not for images of that number or size, or gives no numbers.
        """
        try:
            boxes, scores, landmarks = self._session.run(_OUTPUTS, {_INPUT: pixels})
        except Exception as error:  # as above
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"expected {self.name} to take pixels of shape {pixels.shape}, got: {reason}"
            ) from None
        if not np.isfinite(scores).all():
            raise ValueError(f"expected finite scores, got others from {self.name}: it is damaged")
        return boxes, scores, landmarks


def model_file(name: str) -> Path:
    """The file of a network inside the package."""
    return WEIGHTS / f"{name}{_SUFFIX}"


def _content(name: str | Path) -> bytes:
    """The bytes of a file, or of a network inside the package, which are checked."""
    if name in MODELS:
        file = model_file(str(name))
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != _sums()[file.name]:
            raise ValueError(
                f"expected {file} as it was published, got other bytes; install the package again"
            )
        return content
    file = Path(name)
    if not file.is_file():
        raise FileNotFoundError(
            f"expected a model of {', '.join(MODELS)} or an ONNX file, found none at {name}"
        )
    return file.read_bytes()


def _sums() -> dict[str, str]:
    """SHA-256 by file name."""
    lines = (WEIGHTS / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _available(names: Sequence[str]) -> list[str]:
    """The full names of providers: ONNX Runtime itself leaves out what it lacks."""
    there = onnxruntime.get_available_providers()
    short = {provider.removesuffix("ExecutionProvider").lower(): provider for provider in there}
    chosen = [short.get(name.removesuffix("ExecutionProvider").lower()) for name in names]
    if None in chosen:
        raise ValueError(
            f"expected providers among {', '.join(sorted(short))}, which this ONNX Runtime has, "
            f"got {', '.join(names)}"
        )
    return [name for name in chosen if name]
