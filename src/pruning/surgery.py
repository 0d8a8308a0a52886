"""Removal: the network without some of its channels, a smaller one of the same kind."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from src.models import FaceDetector, build_model
from src.models.channels import Coupling, Wiring


def remove(model: FaceDetector, wiring: Wiring, kept: np.ndarray) -> FaceDetector:
    """A network of its own that computes what ``model`` does with the other channels masked.

    Args:
        model: left as it is.
        wiring: of ``model``.
        kept: which channels stay, bool, by id; of every variable some, of grouped convolutions'
            the same number in each block.

    Returns:
        A network whose configuration holds its ``widths``, with the weights and statistics of what
        stays, on the device, of the type and in the mode of ``model``.
    """
    widths = {
        name: int(kept[variable.channels].sum())
        for variable in wiring.variables
        for name in variable.names
    }
    names = {id(module): name for name, module in model.named_modules()}
    state = dict(model.state_dict())
    for coupling in wiring.couplings:
        key = f"{names[id(coupling.module)]}.{coupling.attribute}"
        state[key] = _sliced(state[key], coupling, kept)
    for module, inputs in wiring.shuffles:
        key = f"{names[id(module)]}.index"
        state[key] = _renumbered(state[key], kept[inputs])
    smaller = build_model({**model.config, "widths": widths})
    for mine, theirs in zip(smaller.modules(), model.modules(), strict=True):
        if isinstance(mine, nn.BatchNorm2d) and isinstance(theirs, nn.BatchNorm2d):
            mine.momentum = theirs.momentum  # recipes change it
    smaller.to(model.mean).load_state_dict(state)  # after: weights keep their precision
    return smaller.train(model.training)


def absent(coupling: Coupling, kept: np.ndarray, tensor: Tensor) -> Tensor:
    """Which places of a tensor belong to a channel that does not stay, bool, its shape."""
    gone = torch.zeros_like(tensor, dtype=torch.bool)
    for dim, axis in enumerate(coupling.axes):
        if axis is None:
            continue
        lost = torch.from_numpy(~kept[axis]).to(tensor.device)
        if dim == 1 and coupling.groups > 1:  # each group of rows has inputs of its own
            rows = len(tensor) // coupling.groups
            lost = lost.view(coupling.groups, -1).repeat_interleave(rows, dim=0)
        else:
            lost = lost.view([-1 if dim == other else 1 for other in range(2)][: tensor.dim()])
        gone |= lost.view(*lost.shape, *[1] * (tensor.dim() - lost.dim()))
    return gone


def _sliced(tensor: Tensor, coupling: Coupling, kept: np.ndarray) -> Tensor:
    """A tensor without the places of :func:`absent`; every group keeps equally many inputs."""
    shape = list(tensor.shape)
    for dim, axis in enumerate(coupling.axes):
        if axis is not None:
            shape[dim] = int(kept[axis].sum()) // (coupling.groups if dim == 1 else 1)
    return tensor[~absent(coupling, kept, tensor)].view(shape)


def _renumbered(index: Tensor, kept: np.ndarray) -> Tensor:
    """The order of a shuffle among the channels that stay."""
    places = torch.from_numpy(kept).to(index.device)
    numbers = places.cumsum(0) - 1
    return numbers[index[places[index]]]
