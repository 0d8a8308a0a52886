"""What a network costs: parameters and multiply-adds of any module, without running it.

Counted are the multiply-adds of convolutions and matrix products, as papers do; a multiply-add is
one operation here and two FLOPs elsewhere. Activations, norms, pooling and the bilinear reading of
deformable convolutions are not counted. For FeatherFace V1 at 640 x 640 that gives

    preset     parameters   multiply-adds   in deformable kernels   in what steers them
    v1_489015     489,015        1.0147 G                0.2223 G           0.3143 G
    v1_493778     493,778        1.0163 G                0.2223 G           0.3143 G
    v1_487103     487,103        0.9670 G                       0                  0
    v1_592371     592,371        1.2438 G                0.2903 G           0.3593 G

Profilers that look at ``nn.Conv2d`` only miss the third column, whose weights are bare parameters.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Complexity(NamedTuple):
    """Size and work of a network."""

    parameters: int
    multiply_adds: int
    """For one image."""


def complexity(model: nn.Module, height: int, width: int) -> Complexity:
    """Count the parameters of ``model`` and its multiply-adds on one image.

    Args:
        model: takes images [1, 3, height, width]; left as it is.
        height, width: of the image, pixels.
    """
    # The meta device knows shapes only: a count takes milliseconds at any size, and no memory.
    shapes = copy.deepcopy(model).eval().to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shapes(torch.empty(1, 3, height, width, device="meta"))
    return Complexity(sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2)
