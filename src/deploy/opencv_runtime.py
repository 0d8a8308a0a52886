"""ONNX files run by OpenCV's dnn module: OpenCV 5 takes any size, OpenCV 4 files of one size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


class OpenCVNetwork:
    """An ONNX file: ``OpenCVNetwork(path, outputs)(pixels)``.

    Args:
        path: of the file.
        outputs: their names, in any order.

    Raises:
        ValueError: a file with an operator that OpenCV lacks.
    """

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        self.outputs = list(outputs)
        try:
            self._net = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise ValueError(f"OpenCV {cv2.__version__} cannot read {path}: {error.err}") from None

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        self._net.setInput(pixels.astype(np.float32, copy=False))
        try:
            values = self._net.forward(self.outputs)
        except cv2.error as error:
            raise ValueError(f"OpenCV {cv2.__version__} cannot run it: {error.err}") from None
        return dict(zip(self.outputs, values, strict=True))
