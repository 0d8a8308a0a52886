"""The frozen detector that a student learns from."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from src.detection.priors import PriorSpec
from src.models import FaceDetector
from src.models.folding import folded
from src.models.layout import lay_out_for_cpu
from src.types import Outputs

PRECISIONS = {"bf16": torch.bfloat16}


class Teacher:
    """A detector in eval mode that gets no gradients and belongs to no module.

    Not an ``nn.Module`` on purpose: assigned to one, it would end up in the student's checkpoint,
    its optimizer and its train mode. It follows the images to their device.

    Args:
        network: the detector; frozen here.
        precision: ``bf16`` runs it in that; None as the training does.
        name: of the file it came from, for messages.

    Attributes:
        network: the detector as it was given.
        fast: the same function with norms folded away, which computes the outputs.
    """

    def __init__(
        self, network: FaceDetector, *, precision: str | None = None, name: str = "teacher"
    ) -> None:
        if precision is not None and precision not in PRECISIONS:
            raise ValueError(
                f"expected a precision of {', '.join(PRECISIONS)} or null for the teacher, got "
                f"{precision!r}; set kd.teacher_precision"
            )
        self.network = network.eval().requires_grad_(False)
        # 0.72 of the time on a CPU core: no reordering in convolutions, no norms behind them.
        self.fast = folded(self.network)
        lay_out_for_cpu(self.fast)
        self.precision = precision
        self.name = name

    def __deepcopy__(self, memo: dict[int, Any]) -> Teacher:
        """No copy: weight averaging copies the training module, and the teacher never changes."""
        return self

    @property
    def priors(self) -> PriorSpec:
        """The priors that its output rows refer to."""
        return self.network.priors

    def normalise(self, pixels: Tensor) -> Tensor:
        """Like :meth:`FaceDetector.normalise`."""
        return (
            self.fast.to(pixels.device)
            .normalise(pixels)
            .contiguous(memory_format=torch.channels_last)
        )

    def __call__(self, images: Tensor) -> Outputs:
        """Like :meth:`FaceDetector.forward`, without a graph."""
        return self.observe(images)[0]

    @torch.no_grad()
    def observe(self, images: Tensor) -> tuple[Outputs, list[Tensor]]:
        """Outputs and feature pyramid for normalised images [B, 3, H, W], without a graph."""
        with self._autocast(images.device.type):
            pyramid = self.fast.pyramid(images)
            return self.fast.predict(pyramid), pyramid

    def _autocast(self, device: str) -> AbstractContextManager[Any]:
        if self.precision is None:
            return nullcontext()
        return torch.autocast(device, dtype=PRECISIONS[self.precision])
