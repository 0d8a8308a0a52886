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
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from src.profiling.shapes import QuickShapes


class Complexity(NamedTuple):
    """Size and work of a network."""

    parameters: int
    multiply_adds: int
    """For one image."""


class PartComplexity(NamedTuple):
    """Size and work of a part of a network."""

    layers: int
    """Convolutions, deformable ones included, and linear layers."""
    parameters: int
    multiply_adds: int
    """For one image."""
    output_shapes: tuple[tuple[int, ...], ...]
    """Shapes of the tensors it returns, call by call, without the batch: (C, H, W) of a level."""


def complexity(model: nn.Module, height: int, width: int) -> Complexity:
    """Count the parameters of ``model`` and its multiply-adds on one image.

    Args:
        model: takes images [1, 3, height, width]; left as it is.
        height, width: of the image, pixels.
    """
    whole = complexity_of_parts(model, {"": [""]}, height, width)[""]
    return Complexity(whole.parameters, whole.multiply_adds)


def complexity_of_parts(
    model: nn.Module, parts: Mapping[str, Collection[str]], height: int, width: int
) -> dict[str, PartComplexity]:
    """Count what each part of ``model`` has, and what it does on one image.

    A module that stands in several places has its layers and parameters counted once, at the first,
    and its multiply-adds wherever it runs, as often as it does. So parts that cover a model without
    overlap add up to its :func:`complexity`.

    Args:
        model: takes images [1, 3, height, width]; left as it is.
        parts: label -> names of the modules that make it up, "" being the model; a part may lie
            within another.
        height, width: of the image, pixels.
    """
    # The meta device knows shapes only: a count takes milliseconds at any size, and no memory.
    copied = copy.deepcopy(model).eval().to("meta")
    counter = FlopCounterMode(display=False)
    meters = {
        label: _Meter(counter, map(copied.get_submodule, names)) for label, names in parts.items()
    }
    with torch.no_grad(), counter, QuickShapes():
        copied(torch.empty(1, 3, height, width, device="meta"))
    return {
        label: PartComplexity(
            sum(is_layer(module) for module in _within(names, model.named_modules())),
            sum(tensor.numel() for tensor in _within(names, model.named_parameters())),
            meters[label].flops // 2,
            tuple(meters[label].output_shapes),
        )
        for label, names in parts.items()
    }


class _Meter:
    """Reads a counter before and after each run of some modules; keeps the shapes they return."""

    def __init__(self, counter: FlopCounterMode, modules: Iterable[nn.Module]) -> None:
        self.flops = 0
        self.output_shapes: list[tuple[int, ...]] = []
        self._counter = counter
        for module in modules:
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self.flops -= self._counter.get_total_flops()

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.flops += self._counter.get_total_flops()
        self.output_shapes += [tuple(tensor.shape[1:]) for tensor in _tensors(output)]


def _within(names: Collection[str], members: Iterable[tuple[str, Any]]) -> Iterator[Any]:
    """Those of the named modules or parameters that are, or are in, a module of ``names``."""
    for name, member in members:
        if any(not own or f"{name}.".startswith(f"{own}.") for own in names):
            yield member


def is_layer(module: nn.Module) -> bool:
    """Whether a module multiplies by a ``weight``: convolutions, deformable too, linear layers."""
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return True
    kernel = dict(module.named_parameters(recurse=False)).get("weight")
    return kernel is not None and kernel.dim() == 4  # a convolution of its own kind: deformable


def _tensors(output: Any) -> Iterator[Tensor]:
    """The tensors in what a module returns, in order."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (list, tuple)):
        for each in output:
            yield from _tensors(each)
