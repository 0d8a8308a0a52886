"""Parameters and multiply-adds of a network as functions of its widths, without building it.

Every tensor has a product of axis lengths of values, and every length is a sum of widths; a layer
does its weight's number of multiply-adds at each position of its output, and positions do not
depend on widths. So one look at the dense network gives polynomials that thousands of plans are
put into at once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from src.models import FaceDetector
from src.models.channels import Channels, Coupling, Wiring
from src.profiling.complexity import is_layer
from src.profiling.shapes import QuickShapes


class Cost:
    """Closed forms of a network's size and work, equal to those that :mod:`src.profiling` counts.

    Args:
        model: the network as it is; left so.
        wiring: of ``model``.
        height, width: of the image that multiply-adds refer to, pixels.

    Both methods take ``kept``: channels that stay of each of ``wiring.variables``, [..., V], and
    return whole numbers of the shape [...].
    """

    def __init__(
        self, model: FaceDetector, wiring: Wiring, *, height: int = 640, width: int = 640
    ) -> None:
        self._wiring = wiring
        self._owner = np.empty(wiring.num_channels, np.int64)
        for number, variable in enumerate(wiring.variables):
            self._owner[variable.channels] = number
        parameters: list[_Term] = []
        multiply_adds: list[_Term] = []
        couplings = {(id(c.module), c.attribute): c for c in wiring.couplings}
        positions = _positions(model, height, width)
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                term = self._term(parameter, couplings.get((id(module), name)))
                parameters.append(term)
                if name == "weight" and is_layer(module):
                    factor = term.factor * positions[id(module)]
                    multiply_adds.append(term._replace(factor=factor))
        for product in wiring.products:
            forms = [self._form(axis) for axis in product.axes]
            multiply_adds.append(_Term(positions[id(product.module)], forms))
        self._parameters = _Sum(parameters, len(wiring.variables))
        self._multiply_adds = _Sum(multiply_adds, len(wiring.variables))

    def parameters(self, kept: Sequence[int] | np.ndarray) -> np.ndarray:
        """Number of parameters."""
        return self._parameters(kept)

    def multiply_adds(self, kept: Sequence[int] | np.ndarray) -> np.ndarray:
        """Multiply-adds on one image."""
        return self._multiply_adds(kept)

    def _term(self, tensor: torch.Tensor, coupling: Coupling | None) -> _Term:
        if coupling is None:
            return _Term(tensor.numel(), [])
        fixed, forms = 1.0, []
        for dim, size in enumerate(tensor.shape):
            axis = coupling.axes[dim] if dim < len(coupling.axes) else None
            if axis is None:
                fixed *= size
            else:
                forms.append(self._form(axis))
        return _Term(fixed / coupling.groups, forms)

    def _form(self, axis: Channels) -> np.ndarray:
        """Length of an axis as a linear function of the kept widths, [V]."""
        sizes = np.array([len(variable.channels) for variable in self._wiring.variables])
        return np.bincount(self._owner[axis], minlength=len(sizes)) / sizes


class _Term(NamedTuple):
    """A number times a product of lengths."""

    factor: float
    forms: list[np.ndarray]


class _Sum:
    """The terms of a polynomial, as one matrix for each of their lengths."""

    def __init__(self, terms: Sequence[_Term], num_variables: int) -> None:
        depth = max(len(term.forms) for term in terms)
        self._factors = np.array([term.factor for term in terms])
        self._forms = np.zeros((depth, num_variables, len(terms)))
        self._ones = np.ones((depth, len(terms)))  # a length that a term lacks
        for column, term in enumerate(terms):
            for place, form in enumerate(term.forms):
                self._forms[place, :, column] = form
                self._ones[place, column] = 0.0

    def __call__(self, kept: Sequence[int] | np.ndarray) -> np.ndarray:
        widths = np.asarray(kept, dtype=np.float64)
        value = self._factors
        for forms, ones in zip(self._forms, self._ones, strict=True):
            value = value * (widths @ forms + ones)
        return np.rint(value.sum(-1)).astype(np.int64)


def _positions(model: nn.Module, height: int, width: int) -> dict[int, int]:
    """id of each layer -> positions that it computes on one image, over all its calls."""
    positions = {id(module): 0 for module in model.modules() if is_layer(module)}
    copied = copy.deepcopy(model).eval().to("meta")

    def count(key: int, module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        positions[key] += output[0, 0].numel() if output.dim() == 4 else 1

    for original, twin in zip(model.modules(), copied.modules(), strict=True):
        if is_layer(original):
            twin.register_forward_hook(partial(count, id(original)))
    with torch.no_grad(), QuickShapes():
        copied(torch.empty(1, 3, height, width, device="meta"))
    return positions
