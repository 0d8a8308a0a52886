"""What an exported network is to compute, and how exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from src.deploy.graph import PixelsToDetections, PixelsToFaces
from src.detection.decoding import Decoder
from src.models import FaceDetector

PRECISIONS = ("fp32", "fp16", "int8")


class ExportOptions(NamedTuple):
    """The same for every format; which of them a format has, its :class:`Format` says."""

    decode: bool = False
    """Boxes in pixels instead of raw outputs."""
    decoder: Decoder | None = None
    """Suppression in the graph, with these thresholds; ``top_k`` rows per image come out."""
    precision: str = "fp32"
    """One of :data:`PRECISIONS`."""
    opset: int = 20
    """Version of the ONNX operators."""
    size: tuple[int, int] | None = None
    """Height and width in pixels of the only images it takes, one at a time; None: any."""
    calibration: Sequence[np.ndarray] = ()
    """Images that show int8 how large activations are, BGR [B, 3, H, W] uint8."""


def graph_of(model: FaceDetector, options: ExportOptions) -> PixelsToFaces | PixelsToDetections:
    """What is exported: its ``outputs`` are the names of what it returns."""
    half = options.precision == "fp16"
    if options.decoder is not None:
        return PixelsToDetections(model, options.decoder, half=half).eval()
    return PixelsToFaces(model, decode=options.decode, half=half).eval()
