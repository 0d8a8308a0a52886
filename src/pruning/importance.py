"""Which filters matter: a score per channel, the lowest go first.

Geometric median (FPGM): He, Liu, Wang, Hu, Yang, "Filter Pruning via Geometric Median for Deep
Convolutional Neural Networks Acceleration", CVPR 2019, eq. 4: the filters with the smallest sum of
distances to the others can best be replaced by them. L1: Li et al., ICLR 2017. BN-gamma: Liu et
al., ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.models.channels import Filters, Wiring


def geometric_median(rows: Tensor) -> Tensor:
    """Sum of the Euclidean distances of each row to all others, [C, K] -> [C]."""
    # The faster mode finds rows at a distance from themselves.
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.sum(dim=1)


def l1(rows: Tensor) -> Tensor:
    """Sum of absolute values of each row, [C, K] -> [C]."""
    return rows.abs().sum(dim=1)


def l2(rows: Tensor) -> Tensor:
    """Euclidean length of each row, [C, K] -> [C]."""
    return rows.norm(dim=1)


ROW_SCORES: dict[str, Callable[[Tensor], Tensor]] = {"fpgm": geometric_median, "l1": l1, "l2": l2}
IMPORTANCES = (*ROW_SCORES, "bn_gamma", "random")
"""Names of the criteria. ``bn_gamma``: size of the factors of the norms behind a filter, L2 where
there are none; ``random`` measures what the others are worth."""

Statistics = Sequence[Tensor | None]
"""Mean and variance [2, C] of the norm behind each of a wiring's filters; None where there is none.
"""


def importance(
    wiring: Wiring,
    *,
    criterion: str = "fpgm",
    bn_fold: bool = True,
    seed: int = 0,
    statistics: Statistics | None = None,
) -> np.ndarray:
    """The score of every channel of a network, comparable within the blocks of a variable.

    Each layer that makes a channel gives its filter as a row, the norm behind it folded in unless
    ``bn_fold`` is False (the papers' raw weights); rows of several layers are scaled to a mean
    length of 1 and joined.

    Args:
        wiring: of the network, whose weights are read without masks.
        criterion: one of :data:`IMPORTANCES`. Two filters are equally far from each other, so
            ``fpgm`` compares their L2.
        bn_fold: see above; ``bn_gamma`` and ``random`` read no filters.
        seed: of ``random``.
        statistics: to fold with instead of the norms' present ones, from :func:`norm_statistics`.

    Returns:
        Scores [``wiring.num_channels``] by id, float64.

    Raises:
        ValueError: no such criterion; the message lists the known.
    """
    if criterion not in IMPORTANCES:
        raise ValueError(
            f"expected an importance of {', '.join(IMPORTANCES)}; got {criterion!r}; "
            "set pruning.importance"
        )
    if criterion == "random":
        return np.random.default_rng(seed).random(wiring.num_channels)
    statistics = norm_statistics(wiring) if statistics is None else statistics
    scores = np.empty(wiring.num_channels)
    for variable in wiring.variables:
        for block in np.split(variable.channels, wiring.blocks(variable)):
            makers = [
                (maker, known)
                for maker, known in zip(wiring.filters, statistics, strict=True)
                if np.isin(block[0], maker.channels)
            ]
            scores[block] = _scores(makers, block, criterion, bn_fold)
    return scores


def norm_statistics(wiring: Wiring) -> Statistics:
    """A copy of mean and variance of the norm behind each of the wiring's filters.

    A mask makes the variance small of what reads the masked channel, first of all of the depthwise
    convolution behind it; folding by it would make a fading filter large, and every ranking would
    bring back what the last one chose. So who ranks under masks folds with what was before them.
    """
    norms: list[Any] = [maker.norm for maker in wiring.filters]
    return [
        None if norm is None else torch.stack([norm.running_mean, norm.running_var])
        for norm in norms
    ]


@torch.no_grad()
def _scores(
    makers: Sequence[tuple[Filters, Tensor | None]],
    block: np.ndarray,
    criterion: str,
    bn_fold: bool,
) -> np.ndarray:
    if criterion == "bn_gamma":
        normed: list[Any] = [maker for maker, _ in makers if maker.norm is not None]
        if normed:
            factors = [_of(block, m, m.norm.weight.double().abs()) for m in normed]
            return l1(torch.cat([_scaled(f[:, None]) for f in factors], dim=1)).cpu().numpy()
        criterion = "l2"
    if criterion == "fpgm" and len(block) <= 2:  # as far from each other: a tie
        criterion = "l2"
    rows = [_scaled(_of(block, maker, _rows(maker, known, bn_fold))) for maker, known in makers]
    return ROW_SCORES[criterion](torch.cat(rows, dim=1)).cpu().numpy()


def _rows(maker: Filters, statistics: Tensor | None, bn_fold: bool) -> Tensor:
    """One row per filter of a layer, [C, K] float64."""
    layer: Any = maker.layer
    weight = layer.weight.double().flatten(1)
    bias = getattr(layer, "bias", None)
    norm: Any = maker.norm
    if norm is not None:
        assert statistics is not None  # see norm_statistics
        mean, variance = statistics.to(weight)
        bias = 0.0 if bias is None else bias.double()
        factor = norm.weight.double() / torch.sqrt(variance + norm.eps)
        if not bn_fold:  # and the norm takes the bias away again
            return weight
        weight, bias = weight * factor[:, None], norm.bias.double() + (bias - mean) * factor
    parts = [weight] if bias is None else [weight, bias.double()[:, None]]
    if maker.reader is not None:
        reader: Any = maker.reader
        parts.append(reader.weight.double().T)
    return torch.cat(parts, dim=1)


def _of(block: np.ndarray, maker: Filters, values: Tensor) -> Tensor:
    """The values of a block's channels, in the order of its ids."""
    places = {channel: place for place, channel in enumerate(maker.channels)}
    return values[[places[channel] for channel in block]]


def _scaled(rows: Tensor) -> Tensor:
    length = rows.norm(dim=1).mean()
    return rows / length if length > 0 else rows
