"""YuNet as a teacher: one prediction a cell, in an ONNX file, for students with priors.

The files are those of libfacedetection.train, see :mod:`src.detection.yunet`. Its classes were
trained to the overlap with the face, as our quality focal loss trains ours, so class times
objectness means what our score does. A teacher of all of WIDER FACE tells a student where faces of
8 to 16 pixels are seen, in every cell of every crop.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from src.detection.yunet import KINDS, yunet_rows

STRIDES = (8, 16, 32)


class Seen(NamedTuple):
    """What a teacher sees in each cell: levels in the order of :data:`STRIDES`, row by row."""

    scores: Tensor
    """[B, C] float32, 0 to 1: how far a face is there and well enclosed."""
    boxes: Tensor
    """[B, C, 4] float32, corners, pixels."""


class YuNet:
    """A published YuNet, run by ONNX Runtime on the CPU.

    Args:
        file: for images of any size and batches, with outputs ``cls_8`` to ``kps_32``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no ONNX Runtime; no model of that scheme.
    """

    def __init__(self, file: str | Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise ValueError(
                "expected the packages of the export extra to run YuNet, found no onnxruntime; "
                "run make install, or pip install -e '.[export]'"
            ) from None
        data = Path(file).read_bytes()
        self.checksum = hashlib.sha256(data).hexdigest()[:16]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # beside the threads or processes of the training
        try:
            self._session: Any = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ValueError(f"expected an ONNX file of YuNet in {file}, got {error}") from None
        self._names = [f"{kind}_{stride}" for kind in KINDS for stride in STRIDES]
        missing = sorted(set(self._names) - {each.name for each in self._session.get_outputs()})
        if missing:
            raise ValueError(
                f"expected an ONNX file of YuNet in {file}, found none of the outputs "
                f"{', '.join(missing)}"
            )

    def __deepcopy__(self, memo: dict[int, Any]) -> YuNet:
        """No copy: weight averaging copies the training module, and the teacher never changes."""
        return self

    def __call__(self, pixels: Tensor) -> Seen:
        """What it sees in BGR pixels [B, 3, H, W], 0 to 255, on their device.

        Raises:
            ValueError: sides that are no multiples of 32.
        """
        height, width = pixels.shape[-2:]
        if height % STRIDES[-1] or width % STRIDES[-1]:
            raise ValueError(
                f"expected images whose sides are multiples of {STRIDES[-1]} for YuNet, got "
                f"{width}x{height}; set data.image_size"
            )
        (entry,) = self._session.get_inputs()
        found = self._session.run(self._names, {entry.name: pixels.float().cpu().numpy()})
        outputs = {
            name: torch.from_numpy(each) for name, each in zip(self._names, found, strict=True)
        }
        boxes, scores, _ = yunet_rows(outputs, STRIDES, height, width)
        return Seen(scores.to(pixels.device), boxes.to(pixels.device))
