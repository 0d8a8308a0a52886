"""Other structures of plain data, the same for the same seed."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_VALUES: list[Any] = [
    None, True, -1, 0, 2**62, 1e30, float("nan"), "text", "", [], {}, [[]], {"a": 1}, (1, 2),
    torch.zeros(0), torch.zeros(3, 2), torch.full((1,), float("nan")), torch.tensor(7),
]  # fmt: skip


def restructured(content: Any, rng: random.Random) -> Any:
    """A copy of the content after one to three changes, each anywhere in it."""
    changed = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 3))):
        parent, key = rng.choice(list(_places(changed)))
        kind = rng.randrange(5)
        if kind == 0 and isinstance(parent, dict):
            del parent[key]
        elif kind == 1 and isinstance(parent, dict):
            parent[rng.choice((key * 2 if isinstance(key, int) else f"{key}x", 99))] = parent[key]
        elif kind == 2:
            _, other = rng.choice(list(_places(changed)))
            if other in parent if isinstance(parent, dict) else isinstance(other, int):
                other = other if isinstance(parent, dict) else other % len(parent)
                parent[key], parent[other] = parent[other], parent[key]
        elif kind == 3 and isinstance(parent[key], Tensor):
            parent[key] = _other(parent[key], rng)
        else:
            parent[key] = rng.choice(_VALUES)
    return changed


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every table and list with each of its keys."""
    if isinstance(node, (dict, list)):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from _places(node[key])


def _other(tensor: Tensor, rng: random.Random) -> Tensor:
    """A tensor of other values, another shape or another kind."""
    kind = rng.randrange(5)
    if kind == 0:
        return tensor.to(torch.int64 if tensor.is_floating_point() else torch.float32)
    if kind == 1:
        return tensor.reshape(-1)
    if kind == 2:
        return tensor.unsqueeze(0).repeat(2, *[1] * tensor.dim())
    return tensor.double().neg().sub(1).to(tensor.dtype)
