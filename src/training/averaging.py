"""Exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_avg_fn


class ExponentialAveraging(WeightAveraging):
    """Keeps an average of weights and statistics; checkpoints and validation use it.

    After each optimizer step: average = d average + (1 - d) weights.

    Args:
        decay: d, 0 to 1.
        warmup: d = min(decay, (1 + t) / (10 + t)) after t steps, so that a short training, or the
            first steps of a long one, is not dragged down by the weights it began with. The rule of
            TensorFlow's ExponentialMovingAverage (``num_updates``).
    """

    def __init__(self, decay: float = 0.999, *, warmup: bool = False) -> None:
        average = get_ema_avg_fn(decay)  # checks the decay
        super().__init__(avg_fn=_warming_average(decay) if warmup else average)


def _warming_average(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    # The number of steps is a buffer beside the average, so a resumed run counts on.
    def average(averaged: Tensor, current: Tensor, steps: Tensor) -> Tensor:
        kept = ((1 + steps) / (10 + steps)).clamp(max=decay)
        return kept * averaged + (1 - kept) * current

    return torch.no_grad()(average)
