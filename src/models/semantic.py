"""Semantic enhancement: what the deepest level knows of the whole image, given to every level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from src.models.channels import Channels, Coupling, Product, Wiring
from src.models.layers import ConvNorm
from src.models.necks import normalised


class SemanticInjection(nn.Module):
    """Semantic injection and gated channel guidance of one level; see the class below.

    Args:
        channels: of the level.
        dictionary: entries of the dictionary.
        hidden: width of the gate's hidden layer.
    """

    def __init__(self, channels: int, *, dictionary: int, hidden: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, dictionary, 1, bias=False)
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)
        self.smooth = ConvNorm(channels, channels, kernel=3, groups=channels)
        self.gamma = nn.Parameter(torch.zeros(channels))

    def read(self, x: Tensor, entries: Tensor) -> Tensor:
        """Level [B, N, H, W] and dictionary [B, N, d] -> semantics of the level."""
        choice = self.query(x).flatten(2).softmax(dim=1)
        return (entries @ choice).reshape(x.shape)  # not view_as, which pnnx does not know

    def forward(self, x: Tensor, semantics: Tensor, pooled: Tensor) -> Tensor:
        """Level and its semantics [B, N, H, W], what the gate looks at [B, N] -> level."""
        gate = torch.sigmoid(self.expand(torch.relu(self.reduce(pooled))))
        return x + (self.gamma * gate)[:, :, None, None] * self.smooth(semantics)

    def wire(self, wiring: Wiring, x: Channels, dictionary: Channels, hidden: Channels) -> Channels:
        wiring.make(self.query, x, dictionary, kind="logits")
        wiring.products.append(Product(self.query, (dictionary, x)))
        wiring.hidden(self.reduce, self.expand, x, hidden)
        self.smooth.wire(wiring, x)
        wiring.couplings.append(Coupling(self, "gamma", (x,)))
        return x


class SemanticEnhancement(nn.Module):
    """Global semantics of the last level, injected into every level after the pyramid.

    After MSE-FPN (Guo, Wu, Feng, Zou, Scientific Reports 13, 2023, doi 10.1038/s41598-023-34277-7):
    self-attention on the deepest level (SEM), merged into each scale (SIM), and a gate that
    selects channels against aliasing (GCG). Only its abstract was accessible, so the equations are
    our own; unlike the paper all three stand after the fusion, and attention goes through a
    dictionary of d entries, whose cost is linear in the number of pixels and not quadratic:

        SEM   K = softmax over positions(key(P5)), V = value(P5), D = V K^T            [N, d]
        SIM   S_l = D softmax over entries(query_l(P_l))                               [N, H, W]
        GCG   g_l = sigmoid(expand_l(ReLU(reduce_l(mean(P_l + S_l)))))
        y_l = P_l + gamma_l g_l BN(depthwise 3x3(S_l))

    gamma starts at 0: the module starts as the identity. Key, value and queries are separate
    convolutions, so that each can be pruned.

    Two options are nearer to what the documents draw. With ``all_levels``, keys and values come
    from the positions of all levels, not of P5 alone. With ``fused_gate``, what a gate looks at is
    a weighted sum over the levels, fast normalised fusion as in :class:`src.models.necks.Fusion`:

        g_l = sigmoid(expand_l(ReLU(reduce_l(sum_m w_lm mean(P_m + S_m) / (sum_m w_lm + eps)))))

    [[B, N, H3, W3], [B, N, H4, W4], [B, N, H5, W5]] -> the same.

    Args:
        channels: N, of every level.
        dictionary: d.
        hidden: width of the gate's hidden layer, per level.
        all_levels, fused_gate: see above.
    """

    def __init__(
        self,
        channels: int,
        *,
        dictionary: int,
        hidden: Sequence[int],
        all_levels: bool = False,
        fused_gate: bool = False,
    ) -> None:
        super().__init__()
        self.all_levels = all_levels
        self.key = nn.Conv2d(channels, dictionary, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.inject = nn.ModuleList(
            SemanticInjection(channels, dictionary=dictionary, hidden=h) for h in hidden
        )
        # Flat: weight decay, where it spares fusion weights, spares vectors.
        self.fusion = nn.Parameter(torch.ones(len(hidden) ** 2)) if fused_gate else None

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        source = levels[-1]
        if self.all_levels:
            source = torch.cat([level.flatten(2) for level in levels], dim=2)[..., None]
        attention = self.key(source).flatten(2).softmax(dim=2)
        entries = self.value(source).flatten(2) @ attention.transpose(1, 2)
        inject: Any = self.inject
        semantics = [each.read(x, entries) for each, x in zip(inject, levels, strict=True)]
        pooled = [(x + s).mean(dim=(2, 3)) for x, s in zip(levels, semantics, strict=True)]
        if self.fusion is not None:
            weights = normalised(self.fusion.view(len(levels), -1))
            pooled = [sum(w * p for w, p in zip(row, pooled, strict=True)) for row in weights]
        return [
            each(*given) for each, *given in zip(inject, levels, semantics, pooled, strict=True)
        ]

    def wire(
        self,
        wiring: Wiring,
        levels: list[Channels],
        dictionary: Channels,
        hidden: Sequence[Channels],
    ) -> list[Channels]:
        source = levels[-1]  # all levels have the same channels
        wiring.make(self.key, source, dictionary, kind=None)  # no query chooses a masked entry
        wiring.make(self.value, source, source)
        wiring.products.append(Product(self.value, (source, dictionary)))
        for inject, level, units in zip(self.inject, levels, hidden, strict=True):
            inject.wire(wiring, level, dictionary, units)  # type: ignore[operator]
        return levels
