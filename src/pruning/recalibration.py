"""Batch-norm statistics of a network that was changed, measured anew."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from src.models import FaceDetector


@torch.no_grad()
def recalibrate(model: FaceDetector, batches: Iterable[Tensor]) -> int:
    """Replace the statistics of every batch norm by their mean over some batches.

    Statistics follow the weights slowly; removal changes them at once. The mean over batches and
    not the moving average of training: Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021.
    As ``torch.optim.swa_utils.update_bn``, which however forgets the statistics where there is no
    batch, and leaves the network changed where a batch fails.

    Args:
        model: changed in place; its weights and its mode are left as they are.
        batches: uint8 or float BGR pixels [B, 3, H, W], 0 to 255, of training images.

    Returns:
        Number of batches.
    """
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    training = model.training
    count = 0
    try:
        model.train()
        for pixels in batches:
            if count == 0:
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None  # cumulative
            model(model.normalise(pixels.to(model.mean.device)))
            count += 1
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(training)
    return count
