"""Learning-rate schedules, one factor per optimizer step.

A schedule is a function ``(optimizer, steps_per_epoch, total_steps) -> LambdaLR``; its remaining
arguments come from the configuration.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def multistep(
    optimizer: Optimizer,
    steps_per_epoch: int,
    total_steps: int,
    *,
    milestones: Sequence[int],
    gamma: float = 0.1,
    warmup_steps: int = 0,
) -> LambdaLR:
    """Linear warm-up, then a factor ``gamma`` at each of the ``milestones`` (epochs).

    Raises:
        ValueError: negative warm-up or milestone, or ``gamma`` not above 0.
    """
    _check_warmup(warmup_steps)
    if gamma <= 0 or any(epoch < 0 for epoch in milestones):
        raise ValueError(
            f"expected a gamma above 0 and milestones of at least epoch 0, got {gamma} and "
            f"{list(milestones)}; set schedule.gamma or recipe.milestones"
        )

    def factor(step: int) -> float:
        passed = sum(step >= epoch * steps_per_epoch for epoch in milestones)
        return _warmup(step, warmup_steps) * gamma**passed

    return LambdaLR(optimizer, factor)


def cosine(
    optimizer: Optimizer,
    steps_per_epoch: int,
    total_steps: int,
    *,
    final: float = 0.01,
    warmup_steps: int = 0,
) -> LambdaLR:
    """Linear warm-up, then half a cosine down to ``final`` of the rate at the last step.

    Raises:
        ValueError: negative warm-up, or ``final`` outside 0 to 1.
    """
    _check_warmup(warmup_steps)
    if not 0 <= final <= 1:
        raise ValueError(
            f"expected a final share of the learning rate from 0 to 1, got {final}; "
            "set schedule.final"
        )

    def factor(step: int) -> float:
        done = min(1.0, max(0, step - warmup_steps) / max(1, total_steps - warmup_steps))
        return _warmup(step, warmup_steps) * (
            final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))
        )

    return LambdaLR(optimizer, factor)


def _warmup(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / (steps + 1))


def _check_warmup(steps: int) -> None:
    if steps < 0:
        raise ValueError(f"expected at least 0 warm-up steps, got {steps}; set recipe.warmup_steps")
