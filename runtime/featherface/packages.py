"""OpenCV and ONNX Runtime, whichever of their packages is installed.

A wheel cannot ask for one package *or* another, so ``opencv-python-headless`` and ``onnxruntime``
are required and their siblings (``opencv-python``, ``onnxruntime-gpu``, ...), which give the same
modules, are taken as they are.
"""

from __future__ import annotations

try:
    import cv2
    import onnxruntime
except ImportError as error:
    raise ImportError(
        f"expected OpenCV and ONNX Runtime, got: {error}; run pip install "
        "opencv-python-headless onnxruntime, or other packages of them"
    ) from error

__all__ = ["cv2", "onnxruntime"]
