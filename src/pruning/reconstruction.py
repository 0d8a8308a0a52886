"""Reconstruction: a smaller network whose layers are refit to what those of a larger one gave.

After channels are removed, or layers replaced, each layer that reads what is left is solved for
anew by least squares, in the order of the data flow: its inputs are those of the smaller network as
far as it is refit, its outputs those of the larger one. He, Zhang, Sun, "Channel Pruning for
Accelerating Very Deep Neural Networks", ICCV 2017, section 3.2, who add a penalty that chooses the
channels; Luo, Wu, Lin, "ThiNet", ICCV 2017, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models import FaceDetector
from src.models.channels import Wiring
from src.models.deformable import DeformableConv

STAGES = ("backbone", "neck", "context", "heads")
"""Parts of a :class:`FaceDetector` in the order of the data flow."""
RECONSTRUCTIONS = (None, "least_squares")
"""What ``pruning.reconstruction`` may be."""
DAMPING = 1e-2
"""Ridge, as a share of the mean variance of a layer's inputs: with less, the few images decide."""


@torch.no_grad()
def reconstruct(
    small: FaceDetector,
    large: FaceDetector,
    batches: Sequence[Tensor],
    *,
    outputs: Mapping[str, Tensor],
    layers: Collection[str] | None = None,
    damping: float = DAMPING,
    report: Callable[[str, float], None] = lambda name, unexplained: None,
) -> None:
    """Refit the convolutions of ``small`` to the outputs of the layers of ``large``.

    Each is moved from the weights that it has, so what the images do not tell stays as it is:
    W = W0 + (Y - W0 X) X' (X X' + lambda I)^-1 of centred X and Y, lambda = ``damping`` times the
    mean diagonal of X X'. The intercept goes to the bias, or to the mean of the norm behind.

    Args:
        small: changed in place; in evaluation mode.
        large: a network whose layers have the same names; in evaluation mode.
        batches: uint8 or float BGR pixels [B, 3, H, W], 0 to 255, of training images.
        outputs: name of a layer of ``small`` -> which outputs of the layer of ``large`` it stands
            for, int64 [C]; layers without an entry give all of them.
        layers: names of those to refit; None: all convolutions that run once.
        damping: see above, at least 0.
        report: told the name of each layer and the share of its outputs' variance that is left
            unexplained.
    """
    mine, theirs = dict(small.named_modules()), dict(large.named_modules())
    waves = [[name for name in wave if layers is None or name in layers] for wave in _waves(small)]
    ours: list[Any] = [small.normalise(pixels.to(small.mean.device)) for pixels in batches]
    others = list(ours)  # what goes into the present stage of each network
    for stage in STAGES:
        for wave in ([name for name in each if name.startswith(f"{stage}.")] for each in waves):
            chosen = {name: outputs.get(name, slice(None)) for name in wave}
            if not wave or _agree(small, large, stage, chosen, ours[0], others[0]):
                continue
            fits = {name: _Moments(mine[name]) for name in wave}
            for one, other in zip(ours, others, strict=True):
                inputs = _at(small, stage, wave, one, inputs=True)
                targets = _at(large, stage, wave, other, inputs=False)
                for name, fit in fits.items():
                    fit.add(inputs[name], targets[name][:, chosen[name]])
            for name, fit in fits.items():
                offset, unexplained = fit.solve(damping)
                layer, norm = fit.layer, f"{name.rpartition('.')[0]}.norm"
                if layer.bias is not None:
                    layer.bias.copy_(offset)
                elif norm in mine and norm in theirs:
                    # N(W x + b) is the norm of W x whose mean is lower by b.
                    statistics: Any = mine[norm].running_mean
                    statistics.copy_(theirs[norm].running_mean[chosen[name]] - offset)
                report(name, unexplained)
        if stage != STAGES[-1]:
            ours, others = (
                [getattr(model, stage)(_copies(x)) for x in given]
                for model, given in ((small, ours), (large, others))
            )


def kept_outputs(large: FaceDetector, wiring: Wiring, kept: np.ndarray) -> dict[str, Tensor]:
    """The ``outputs`` of :func:`reconstruct` for a network without some channels of ``large``.

    Args:
        large: before the removal.
        wiring: of ``large``.
        kept: which channels stay, bool, by id.
    """
    names = {id(module): name for name, module in large.named_modules()}
    return {
        names[id(coupling.module)]: torch.from_numpy(np.flatnonzero(kept[coupling.axes[0]]))
        for coupling in wiring.couplings
        if coupling.attribute == "weight"
        and isinstance(coupling.module, nn.Conv2d | DeformableConv)
        and coupling.axes[0] is not None
    }


def _agree(
    small: FaceDetector,
    large: FaceDetector,
    stage: str,
    chosen: Mapping[str, Any],
    ours: Any,
    others: Any,
) -> bool:
    """Whether some layers of both networks give the same: nothing before them was changed."""
    mine = _at(small, stage, chosen, ours, inputs=False)
    theirs = _at(large, stage, chosen, others, inputs=False)
    return all(
        torch.allclose(mine[name], theirs[name][:, own], rtol=1e-4, atol=1e-4)
        for name, own in chosen.items()
    )


@torch.enable_grad()
def _waves(model: FaceDetector) -> list[list[str]]:
    """The convolutions that run once, grouped so that a group needs only those before it."""
    depths: dict[str, int] = {}
    for name, x in _calls(model).items():
        weights: list[Any] = [model.get_submodule(other).weight for other in depths]
        gradients = (
            torch.autograd.grad(x.sum(), weights, retain_graph=True, allow_unused=True)
            if x.requires_grad
            else [None] * len(depths)
        )
        feeding = [
            depth for depth, g in zip(depths.values(), gradients, strict=True) if g is not None
        ]
        depths[name] = 1 + max(feeding, default=-1)
    return [
        [name for name, own in depths.items() if own == depth]
        for depth in range(1 + max(depths.values()))
    ]


def _calls(model: FaceDetector) -> dict[str, Tensor]:
    """Name of each convolution that runs once -> its input, for a small image of noise."""
    found: dict[str, Tensor] = {}
    again: set[str] = set()

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if name in found:
                again.add(name)
            found[name] = inputs[0]

        return note

    handles = [
        module.register_forward_pre_hook(hook(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        pixels = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
        model(model.normalise(pixels.to(model.mean.device)))
    finally:
        for handle in handles:
            handle.remove()
    return {name: x for name, x in found.items() if name not in again}


class _Enough(Exception):
    """What was wanted of a forward pass is there."""


def _copies(x: Any) -> Any:
    """What a stage takes, as tensors of its own: activations work in place."""
    return x.clone() if isinstance(x, Tensor) else [level.clone() for level in x]


def _at(
    model: FaceDetector, stage: str, names: Collection[str], x: Any, *, inputs: bool
) -> dict[str, Tensor]:
    """What goes into some layers of a stage that is given ``x``, or comes out of them."""
    found: dict[str, Tensor] = {}

    def hook(name: str) -> Callable[..., None]:
        def note(
            module: nn.Module, given: tuple[Tensor, ...], output: Tensor | None = None
        ) -> None:
            found[name] = (given[0] if output is None else output).clone()
            if len(found) == len(names):
                raise _Enough

        return note

    modules = [(name, model.get_submodule(name)) for name in names]
    handles = [
        module.register_forward_pre_hook(hook(name))
        if inputs
        else module.register_forward_hook(hook(name))
        for name, module in modules
    ]
    try:
        getattr(model, stage)(_copies(x))
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found


class _Moments:
    """Sums over positions from which a convolution is solved for, float64.

    A grouped convolution is one problem per group: G of them, each with K inputs (channels of the
    group times kernel positions) and O outputs.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        self.layer = layer
        groups = layer.groups
        inputs = layer.weight[0].numel()
        outputs = layer.out_channels // groups
        make = {"dtype": torch.float64, "device": layer.weight.device}
        self.count = 0
        self.x = torch.zeros(groups, inputs, **make)  # type: ignore[call-overload]
        self.y = torch.zeros(groups, outputs, **make)  # type: ignore[call-overload]
        self.xx = torch.zeros(groups, inputs, inputs, **make)  # type: ignore[call-overload]
        self.xy = torch.zeros(groups, inputs, outputs, **make)  # type: ignore[call-overload]
        self.yy = 0.0

    def add(self, inputs: Tensor, target: Tensor) -> None:
        """Inputs [B, C, H, W] of the layer and what it should make of them."""
        layer = self.layer
        groups = layer.groups
        if layer.kernel_size == (1, 1) and layer.stride == (1, 1):
            x = inputs.flatten(2)
        else:
            sides: Any = layer.padding
            x = F.unfold(inputs, layer.kernel_size, padding=sides, stride=layer.stride)
        positions = x.shape[0] * x.shape[2]
        x = x.unflatten(1, (groups, -1)).permute(1, 2, 0, 3).flatten(2)  # [G, K, positions]
        y = target.flatten(2).unflatten(1, (groups, -1)).permute(1, 2, 0, 3).flatten(2)
        self.count += positions
        self.x += x.sum(2)
        self.y += y.sum(2)
        self.xx += x @ x.mT
        self.xy += x @ y.mT
        self.yy += float(y.double().square().sum())

    def solve(self, damping: float) -> tuple[Tensor, float]:
        """Set the layer's weights; returns its bias and the share of variance left unexplained."""
        layer = self.layer
        mean_x, mean_y = self.x / self.count, self.y / self.count
        xx = self.xx / self.count - mean_x[:, :, None] * mean_x[:, None]
        xy = self.xy / self.count - mean_x[:, :, None] * mean_y[:, None]
        yy = self.yy / self.count - float(mean_y.square().sum())
        groups = layer.groups
        weight = layer.weight.double().flatten(1).unflatten(0, (groups, -1)).mT  # [G, K, O]
        ridge = damping * xx.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
        eye = torch.eye(xx.shape[1], dtype=xx.dtype, device=xx.device)
        weight = weight + torch.linalg.solve(xx + ridge[:, None, None] * eye, xy - xx @ weight)
        left = yy - float((2 * weight * xy).sum()) + float((weight * (xx @ weight)).sum())
        offset = (mean_y - (weight.mT @ mean_x[:, :, None]).squeeze(2)).flatten()
        layer.weight.copy_(weight.mT.flatten(0, 1).view_as(layer.weight))
        return offset, max(0.0, left) / max(yy, 1e-12)
