"""Convolutions in int8: static quantisation by ONNX Runtime."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from src.deploy.graph import INPUT
from src.deploy.runtime import require

EARLY = 7
"""Convolutions from the image on that stay float32; so do depthwise ones. They are little of the
work, and most of the error: of the flagship's logits it is 6% (root mean square) with both left
out, 10% with the early ones, 19% with the depthwise ones, 23% with none."""


def quantise(file: Path, images: Sequence[np.ndarray]) -> None:
    """Make most convolutions of an ONNX file int8, in place.

    Weights get one scale per filter, activations one per tensor, found on ``images``. Only
    convolutions: they are nearly all of the work, and decoding needs its pixels to the fraction.

    Args:
        file: float32, of any number and size of images.
        images: BGR [B, 3, H, W], uint8; what the network will see.

    Raises:
        ValueError: no images, or onnxruntime is missing.
    """
    if not images:
        raise ValueError("expected images to find the scales of int8, got none")
    onnx, quantisation = require("onnx", "onnxruntime.quantization")
    convolutions = [node for node in onnx.load(file).graph.node if node.op_type == "Conv"]
    exact = [
        node.name
        for place, node in enumerate(convolutions)
        if place < EARLY or any(a.name == "group" and a.i > 1 for a in node.attribute)
    ]

    class Pixels(quantisation.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.left = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            pixels = next(self.left, None)
            return None if pixels is None else {INPUT: pixels.astype(np.float32)}

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # advice to prepare the file, which the exporter has done
    try:
        with TemporaryDirectory() as folder:
            small = Path(folder) / "int8.onnx"
            quantisation.quantize_static(
                str(file), str(small), Pixels(),
                quant_format=quantisation.QuantFormat.QDQ,
                op_types_to_quantize=["Conv"], per_channel=True,
                activation_type=quantisation.QuantType.QUInt8,
                weight_type=quantisation.QuantType.QInt8, nodes_to_exclude=exact,
            )  # fmt: skip
            file.write_bytes(small.read_bytes())
    finally:
        logging.disable(before)
