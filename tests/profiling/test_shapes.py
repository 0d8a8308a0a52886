"""Shapes and types that counting works out by itself are those of torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from src.profiling.shapes import QuickShapes


def tensor(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(*shape, dtype=dtype, device="meta")


OPERATORS = {
    "grid_sample": lambda: F.grid_sample(
        tensor(2, 5, 7, 9), tensor(2, 3, 4, 2), align_corners=False
    ),
    "batch norm": lambda: nn.BatchNorm2d(5, device="meta").eval()(tensor(2, 5, 7, 9)),
    "activation": lambda: torch.sigmoid(tensor(2, 5).half()),
    "activation in place": lambda: F.leaky_relu(tensor(2, 5), 0.1, inplace=True),
    "column and row": lambda: tensor(4, 1) + tensor(3),
    "number": lambda: 2 * tensor(4, 3, dtype=torch.int64) + 1.5,
    "types": lambda: tensor(3, dtype=torch.int64) - tensor(2, 3, dtype=torch.float64),
    "what it leaves to torch": lambda: tensor(2, 3) @ tensor(3, 4),
}


@pytest.mark.parametrize("name", OPERATORS)
@torch.no_grad()
def test_as_torch_has_them(name):
    expected = OPERATORS[name]()
    with QuickShapes():
        found = OPERATORS[name]()
    assert (found.shape, found.dtype, found.device) == (
        expected.shape, expected.dtype, expected.device,
    )  # fmt: skip


def test_numbers_are_computed_as_before():
    x = torch.randn(2, 3)
    with QuickShapes():
        assert torch.equal(x.relu() + 1, x.clamp(min=0) + 1)
