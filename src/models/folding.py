"""Networks that are only run: norms and shuffles in the weights, operators that runtimes have."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from src.models.detector import FaceDetector
from src.models.heads import SharedMultiHead
from src.models.layers import ConvNorm
from src.models.necks import MirroredSamePool, SamePool

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


_PAIRS = (("conv", "norm"), ("pointwise", "norm"), ("sequence", "sequence_norm"))
"""Names of a convolution and of the norm behind it, in every block that has both."""


def without_norms(network: Module) -> Module:
    """As :func:`folded`, for the norms of necks and gates too.

    For what halves the weights: the variance of a quiet channel is below what float16 can hold,
    the weight that it makes is not.
    """
    network = copy.deepcopy(network)
    for block in network.modules():
        for first, second in _PAIRS:
            conv, norm = getattr(block, first, None), getattr(block, second, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(block, first, fuse_conv_bn_eval(conv, norm))
                setattr(block, second, nn.Identity())
    return network


def without_shuffles(model: FaceDetector) -> FaceDetector:
    """A copy whose convolutions behind channel shuffles read the channels as they come.

    A convolution of shuffled channels, sum_j w_j x_index(j), is one of the channels as they were,
    with w in the inverse order: equal up to rounding. OpenVINO 2026.4 applies the inverse of an
    exported shuffle in front of a 1x1 convolution; here there is none that it could get wrong.
    """
    model = copy.deepcopy(model)
    context: dict[str, Any] = dict(model.context.named_children())
    for level, shuffle in enumerate(context.get("shuffle", ())):
        for conv in _readers(model, context, level):
            conv.weight = nn.Parameter(conv.weight.detach()[:, torch.argsort(shuffle.index)])
        context["shuffle"][level] = nn.Identity()
    return model


def _readers(model: FaceDetector, context: dict[str, Any], level: int) -> list[nn.Conv2d]:
    """The convolutions that read the shuffled channels of a level, each of one level only."""
    if "mixer" in context:
        return [context["mixer"][level].reduce.conv]
    heads: Any = model.heads
    if isinstance(heads, SharedMultiHead):  # it reads all levels in one order, see its wire
        return heads.head.readers if level == 0 else []
    return heads[level].readers


def without_parity(network: Module) -> Module:
    """A copy that computes nothing with its sides, for traced graphs: the same values."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, SamePool):
                setattr(module, name, MirroredSamePool())
    return network
