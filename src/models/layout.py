"""How a network lies in memory on a CPU: the same function, computed faster."""

from __future__ import annotations

import torch
from torch import nn


def lay_out_for_cpu(model: nn.Module) -> None:
    """Put the channels of a pixel side by side and give all convolutions to oneDNN; in place.

    Results are the same up to rounding. PyTorch computes a 1x1 convolution of one thread and fewer
    than 16 images by a matrix product of its own, whose gradients lie in the other order in memory,
    so that every norm and activation before it reorders them: a step of 8 images at 320 px took 1.1
    to 1.3 times as long. A dilated convolution always goes to oneDNN, and dilating a 1x1 kernel
    changes nothing.

    Source: ``ConvParams::use_mkldnn`` in ATen/native/Convolution.cpp of PyTorch.
    """
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            module.dilation = (2, 2)
