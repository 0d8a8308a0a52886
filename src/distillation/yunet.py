"""YuNet as a teacher: one prediction a cell, in an ONNX file, for students with priors.

Source: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research
2023; the files are those of libfacedetection.train. Its classes were trained to the overlap with
the face, as our quality focal loss trains ours, so class times objectness means what our score
does; YuNet itself gives out the root of that. A teacher of all of WIDER FACE tells a student where
faces of 8 to 16 pixels are seen, in every cell of every crop.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

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
        file: for images of any size and batches, with outputs ``cls_8`` to ``bbox_32``.

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
        self._names = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox") for stride in STRIDES]
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
        outputs = self._session.run(self._names, {entry.name: pixels.float().cpu().numpy()})
        classes, objectness, offsets = (
            [torch.from_numpy(each) for each in outputs[begin : begin + len(STRIDES)]]
            for begin in range(0, len(outputs), len(STRIDES))
        )
        scores = [
            (c.clamp(0, 1) * o.clamp(0, 1))[..., 0]
            for c, o in zip(classes, objectness, strict=True)
        ]
        boxes = [
            _decode(each, height // stride, width // stride, stride)
            for each, stride in zip(offsets, STRIDES, strict=True)
        ]
        device = pixels.device
        return Seen(torch.cat(scores, 1).to(device), torch.cat(boxes, 1).to(device))


def _decode(offsets: Tensor, rows: int, columns: int, stride: int) -> Tensor:
    """Offsets [B, rows * columns, 4], in strides from a cell's corner -> corners, pixels."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    corners = torch.stack([x, y], dim=-1).view(-1, 2)
    centres = (corners + offsets[..., :2]) * stride
    halves = offsets[..., 2:].exp() * (stride / 2)
    return torch.cat([centres - halves, centres + halves], dim=-1)
