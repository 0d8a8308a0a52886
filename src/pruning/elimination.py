"""Importance by reconstruction: what the layers that read a channel lose with it, at the best.

A layer that reads C channels is the linear map Y = W X. Without channel j, and with the others'
weights refit, it loses W_j' ([H^-1]_jj)^-1 W_j of its outputs, H = X X' + lambda I (Hassibi and
Stork, "Optimal Brain Surgeon", 1993, eq. 5; for blocks of weights Frantar and Alistarh, "Optimal
Brain Compression", NeurIPS 2022, section 4). Channels go one after the other, as each changes what
the others are worth.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models import FaceDetector
from src.models.channels import Channels, Wiring
from src.pruning.reconstruction import DAMPING


@torch.no_grad()
def elimination_scores(
    model: FaceDetector, wiring: Wiring, batches: Iterable[Tensor], *, damping: float = DAMPING
) -> np.ndarray:
    """The place of every channel in the order in which they go, the first to go has 0.

    Args:
        model: in evaluation mode; left as it is.
        wiring: of ``model``.
        batches: uint8 or float BGR pixels [B, 3, H, W], 0 to 255, of training images.
        damping: ridge, as a share of the mean diagonal of X X'.

    Returns:
        Scores [``wiring.num_channels``] by id, comparable within the blocks of a variable.
    """
    readers = _readers(wiring)
    for pixels in batches:
        handles = [reader.layer.register_forward_pre_hook(reader.see) for reader in readers]
        try:
            model(model.normalise(pixels.to(model.mean.device)))
        finally:
            for handle in handles:
                handle.remove()
    scores = np.zeros(wiring.num_channels)
    for variable in wiring.variables:
        for block in np.split(variable.channels, wiring.blocks(variable)):
            problems = [p for reader in readers for p in reader.problems(block, damping)]
            scores[block] = _order(problems, len(block))
    return scores


class _Problem:
    """What one layer, or group of it, reads of a block of channels.

    ``places`` [C, K]: where the K weights of each of the C channels stand.
    """

    def __init__(self, moments: Tensor, weight: Tensor, places: np.ndarray, damping: float) -> None:
        ridge = damping * moments.diagonal().mean().clamp_min(1e-12)
        eye = torch.eye(len(moments), dtype=moments.dtype, device=moments.device)
        self.inverse = torch.linalg.inv(moments + ridge * eye)
        self.weight = weight.clone()
        self.scale = float((weight * (moments @ weight)).sum().clamp_min(1e-12))
        self.places = torch.from_numpy(places).to(weight.device)

    def losses(self) -> Tensor:
        """What goes with each channel, a share of the variance of the outputs, [C]."""
        at = self.places
        blocks = self.inverse[at[:, :, None], at[:, None]]
        weights = self.weight[at]
        return (weights * torch.linalg.solve(blocks, weights)).sum((1, 2)) / self.scale

    def remove(self, channel: int) -> None:
        at = self.places[channel]
        columns = self.inverse[:, at]
        share = torch.linalg.solve(self.inverse[at][:, at], columns.T)
        self.weight = self.weight - share.T @ self.weight[at]
        self.inverse = self.inverse - columns @ share
        # What is gone stays decoupled and costs nothing, but must not make a block singular.
        self.inverse[at, at] += 1.0
        self.weight[at] = 0.0


def _order(problems: list[_Problem], count: int) -> np.ndarray:
    """Place of each of ``count`` channels in the order of elimination."""
    places = np.zeros(count)
    left = np.ones(count, bool)
    for step in range(count):
        losses = sum((p.losses().cpu().numpy() for p in problems), np.zeros(count))
        channel = int(np.where(left, losses, np.inf).argmin())
        places[channel] = step
        left[channel] = False
        for problem in problems:
            problem.remove(channel)
    return places


class _Reader:
    """A layer, and the second moments of what it reads."""

    def __init__(self, layer: Any, inputs: Channels, groups: int) -> None:
        self.layer = layer
        self.inputs = np.split(inputs, groups)
        self.count = 0
        self.sums: Tensor | None = None

    def see(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        x = given[0]
        groups = len(self.inputs)
        if isinstance(module, nn.Conv2d):
            assert not isinstance(module.padding, str)
            x = F.unfold(x, module.kernel_size, padding=module.padding, stride=module.stride)
            x = x.unflatten(1, (groups, -1)).permute(1, 2, 0, 3).flatten(2)
        else:
            x = x.flatten(0, -2).T[None]
        ones = x.new_ones(groups, 1, x.shape[2])
        x = torch.cat([x, ones], dim=1)
        sums = (x @ x.mT).double()
        self.sums = sums if self.sums is None else self.sums + sums

    def problems(self, block: Channels, damping: float) -> list[_Problem]:
        """One for each group of the layer that reads channels of ``block``."""
        found = []
        assert self.sums is not None  # the layer has run
        kernel = self.layer.weight[0, 0].numel()
        weights = self.layer.weight.double().flatten(1).chunk(len(self.inputs))
        for group, (inputs, weight) in enumerate(zip(self.inputs, weights, strict=True)):
            if not np.isin(block, inputs).all():
                continue
            sums = self.sums[group] / self.sums[group][-1, -1]
            mean = sums[:-1, -1]
            moments = sums[:-1, :-1] - mean[:, None] * mean
            place = {channel: i for i, channel in enumerate(inputs)}
            places = np.array([[place[c] * kernel + k for k in range(kernel)] for c in block])
            found.append(_Problem(moments, weight.T, places, damping))
        return found


def _readers(wiring: Wiring) -> list[_Reader]:
    found = []
    for coupling in wiring.couplings:
        if coupling.attribute == "weight" and len(coupling.axes) == 2:
            inputs = coupling.axes[1]
            if inputs is not None and isinstance(coupling.module, (nn.Conv2d, nn.Linear)):
                found.append(_Reader(coupling.module, inputs, coupling.groups))
    return found
