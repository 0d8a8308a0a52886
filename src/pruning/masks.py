"""Masks: a factor per channel, multiplied where the channel appears, so that 0 is removal.

Batch norm undoes a factor on the weights in front of it, so factors stand behind it (and behind
the depthwise convolution's that follows: the norm of a zero is not zero), on the outputs of layers
without norm, as log m on logits that enter a softmax, and within the pools over channels. Every
activation maps 0 to 0, so a channel whose factor is 0 is nowhere felt, in evaluation and, as each
channel is normed by itself, in training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from src.models.channels import Site, Wiring


class Masks:
    """A factor for every channel of a network, applied while attached.

    The weights stay what they are; nothing is added to the state dict.

    Args:
        wiring: of the network.
        floor: smallest factor of the gradient: a channel that is nearly off can still be found
            worth keeping. 0 once the choice is made.

    Attributes:
        values: factor of every channel, by id, 0 to 1, float32.
        floor: as above; a tensor too, since compiled networks see a changed number as new code.
    """

    def __init__(self, wiring: Wiring, *, floor: float = 0.0) -> None:
        self.values = torch.ones(wiring.num_channels)
        self.floor = torch.tensor(floor)
        self._sites = wiring.sites
        self._at_work: list[tuple[_Hook, torch.utils.hooks.RemovableHandle]] = []

    def attach(self) -> Masks:
        """Put the factors to work."""
        for site in self._sites:
            hook = _Hook(self, site)
            self._at_work.append((hook, site.module.register_forward_hook(hook)))
        return self

    def detach(self) -> None:
        """Give the network back as it was."""
        for _, handle in self._at_work:
            handle.remove()
        self._at_work.clear()

    def to(self, device: torch.device) -> None:
        """Keep the factors on the device where the network runs."""
        self.values, self.floor = self.values.to(device), self.floor.to(device)
        for hook, _ in self._at_work:
            hook.channels = hook.channels.to(device)


class _Hook:
    """What happens to the output of a site."""

    def __init__(self, masks: Masks, site: Site) -> None:
        self.masks = masks
        self.channels = torch.from_numpy(site.channels)
        self.kind = site.kind

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Any:
        factors = self.masks.values[self.channels].to(output.device, output.dtype)
        shaped = factors.view(1, -1, *[1] * (output.dim() - 2))
        if self.kind == "logits":
            return output + shaped.log()
        if self.kind == "pool":
            (x,) = inputs
            peak = x.masked_fill(shaped == 0, -torch.inf).amax(dim=1, keepdim=True)
            return torch.cat([peak, x.sum(dim=1, keepdim=True) / factors.sum()], dim=1)
        return _Scale.apply(output, shaped, self.masks.floor.to(output.device, output.dtype))


class _Scale(torch.autograd.Function):
    """y = m x with the gradient max(m, floor)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factors: Tensor, floor: Tensor) -> Tensor:
        ctx.save_for_backward(factors, floor)
        return x * factors

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        factors, floor = ctx.saved_tensors
        return gradient * torch.maximum(factors, floor), None, None
