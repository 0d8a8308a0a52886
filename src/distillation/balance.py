"""How the distillation terms are weighed against each other: fixed, or learned with the student."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

TERMS = ("class", "box", "landmark")
BOUND = 3.0
"""Largest |s|: weights stay within e^-3 and e^3, 0.05 to 20 times their prior."""


class Balance(nn.Module):
    """Turns the terms of :func:`src.distillation.losses.distillation_terms` into one scalar.

    ``forward`` takes them by name, each a scalar.

    Args:
        priors: lambda of ``class``, ``box`` and ``landmark``, above 0.
    """

    name: str

    def __init__(self, **priors: float) -> None:
        super().__init__()
        fit = [type(value) in (int, float) and 0 < value < math.inf for value in priors.values()]
        if set(priors) != set(TERMS) or not all(fit):
            raise ValueError(
                f"expected a weight above 0 for each of {', '.join(TERMS)}, got {dict(priors)}; "
                "set kd.balance.NAME"
            )
        self.priors = {name: float(priors[name]) for name in TERMS}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What is learned, as an optimizer's groups; ``rate_factor`` times the network's rate."""
        return []

    def log_values(self) -> dict[str, Tensor]:
        """What the log should show, name -> scalar; nothing that is in the configuration."""
        return {}

    def settings(self) -> dict[str, Any]:
        """What makes it, as plain values: ``balance`` and the priors."""
        return {"balance": self.name, **self.priors}


class FixedWeights(Balance):
    """sum_k lambda_k L_k.

    Args:
        priors: lambda of ``class``, ``box`` and ``landmark``, above 0.
    """

    name = "fixed"

    def forward(self, terms: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([self.priors[name] * terms[name] for name in TERMS]).sum()


class LearnedWeights(Balance):
    """sum_k lambda_k (exp(-s_k) L_k + s_k) with learned s_k = 3 tanh(theta_k / 3).

    The log-variance form of Kendall et al. (CVPR 2018, eq. 7) with the prior outside the bracket:
    inside it s_k would absorb it. Its minimum is at the weight lambda_k exp(-s_k) = lambda_k / L_k,
    so no term is silenced or blown up, unlike with freely learned factors, which fall without end,
    and with softmax, which picks the smallest term. A term that is 0, as those of boxes are in a
    batch where the teacher sees no face, says nothing, and leaves its s as it is.

    Args:
        rate_factor: learning rate of theta, times that of the network.
        priors: lambda of ``class``, ``box`` and ``landmark``, above 0.
    """

    name = "learned"

    def __init__(self, *, rate_factor: float = 10.0, **priors: float) -> None:
        super().__init__(**priors)
        if not 0 < rate_factor < math.inf:
            raise ValueError(
                f"expected a rate_factor above 0, got {rate_factor}; set kd.balance.rate_factor"
            )
        self.rate_factor = rate_factor
        self.theta = nn.Parameter(torch.zeros(len(TERMS)))

    @property
    def log_variances(self) -> Tensor:
        """s, shape [3], in the order of ``TERMS``."""
        return BOUND * torch.tanh(self.theta.float() / BOUND)

    def forward(self, terms: Mapping[str, Tensor]) -> Tensor:
        s = self.log_variances
        losses = torch.stack([terms[name].float() for name in TERMS])
        priors = losses.new_tensor([self.priors[name] for name in TERMS])
        brackets = torch.exp(-s) * losses + s * (losses.detach() > 0)
        return (priors * brackets).sum()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """theta, without weight decay: 0 is a value like any other for it."""
        return [{"params": [self.theta], "weight_decay": 0.0, "rate_factor": self.rate_factor}]

    def log_values(self) -> dict[str, Tensor]:
        """``log_variance_*``: s; ``weight_*``: lambda exp(-s)."""
        s = self.log_variances.detach()
        values = {f"log_variance_{name}": s[k] for k, name in enumerate(TERMS)}
        weights = {f"weight_{n}": self.priors[n] * torch.exp(-s[k]) for k, n in enumerate(TERMS)}
        return values | weights

    def settings(self) -> dict[str, Any]:
        """``balance``, the priors and ``rate_factor``."""
        return super().settings() | {"rate_factor": self.rate_factor}
