"""Norms folded into the convolutions before them, for networks that are only run."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from src.models.layers import ConvNorm

Module = TypeVar("Module", bound=nn.Module)


def folded(network: Module) -> Module:
    """A copy of a network in eval mode with fewer steps: equal up to rounding, not to be trained.

    A norm with fixed statistics is one factor and one summand per channel, which the convolution
    before it takes over: w' = w gamma / sigma, b' = beta - mu gamma / sigma.
    """
    network = copy.deepcopy(network)
    for block in network.modules():
        if isinstance(block, ConvNorm) and isinstance(block.norm, nn.BatchNorm2d):
            block.conv = fuse_conv_bn_eval(block.conv, block.norm)
            block.norm = nn.Identity()  # type: ignore[assignment]
    return network
