"""Pruning at once: plan, rank, remove, check that removal is what masking is, and refit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.models import FaceDetector, wiring_of
from src.pruning.cost import Cost
from src.pruning.elimination import elimination_scores
from src.pruning.importance import importance
from src.pruning.masks import Masks
from src.pruning.plan import PruningSpec, keep, realised_rates, widths_table
from src.pruning.reconstruction import kept_outputs, reconstruct
from src.pruning.surgery import remove

TOLERANCE = 1e-3
"""Largest relative difference of outputs: rounding stays far below it, a channel out of place is
far above."""


class Pruned(NamedTuple):
    """A network after its pruning, and what was done."""

    model: FaceDetector
    results: dict[str, Any]
    """Plain values: ``importance``, ``bn_fold``, ``multiple``, ``reconstruction``, ``rates`` and
    ``realised_rates`` per group, ``masked_difference`` (before the refit), ``widths``
    (:func:`src.pruning.widths_table`), ``parameters`` and ``multiply_adds`` as [before, after]."""


def prune_at_once(
    model: FaceDetector,
    spec: PruningSpec,
    *,
    height: int = 640,
    width: int = 640,
    batches: Sequence[Tensor] = (),
) -> Pruned:
    """The network without its least important filters; the same at every call.

    Args:
        model: in evaluation mode, with weights that mean something; left as it is.
        spec: what shall go.
        height, width: of the image that multiply-adds refer to, pixels.
        batches: uint8 or float BGR pixels [B, 3, H, W], 0 to 255, of training images; needed where
            ``spec.images_needed``.

    Raises:
        ValueError: what :meth:`PruningSpec.plan` refuses, a network that cannot be pruned, or one
            that computes something else afterwards than with the filters masked.
    """
    wiring = wiring_of(model)
    cost = Cost(model, wiring, height=height, width=width)
    plan = spec.plan(wiring, cost)
    if spec.images_needed and not batches:
        raise ValueError("expected batches of images to rank or refit by, got none")
    if spec.importance == "reconstruction":
        scores = elimination_scores(model, wiring, batches, damping=spec.damping)
    else:
        scores = importance(wiring, criterion=spec.importance, bn_fold=spec.bn_fold, seed=spec.seed)
    kept = keep(wiring, scores, plan.kept)
    pruned = remove(model, wiring, kept)
    dense = [len(variable.channels) for variable in wiring.variables]
    results = {
        "importance": spec.importance, "bn_fold": spec.bn_fold, "multiple": spec.multiple,
        "reconstruction": spec.reconstruction,
        "rates": plan.rates, "realised_rates": realised_rates(wiring, kept),
        "masked_difference": masked_difference(model, pruned, Masks(wiring), kept),
        "widths": widths_table(wiring, kept),
        "parameters": [int(cost.parameters(each)) for each in (dense, plan.kept)],
        "multiply_adds": [int(cost.multiply_adds(each)) for each in (dense, plan.kept)],
    }  # fmt: skip
    if spec.reconstruction is not None:
        outputs = kept_outputs(model, wiring, kept)
        reconstruct(pruned, model, batches, outputs=outputs, damping=spec.damping)
    return Pruned(pruned, results)


def masked_difference(
    model: FaceDetector, pruned: FaceDetector, masks: Masks, kept: np.ndarray
) -> float:
    """Largest absolute difference of the outputs on an image of noise: what removal changed.

    Raises:
        ValueError: it changed more than rounding does.
    """
    pixels = torch.randint(0, 256, (1, 3, 256, 320), generator=torch.Generator().manual_seed(0))
    masks.values = torch.from_numpy(kept).float()
    with torch.inference_mode():
        masks.attach()
        masked = model(model.normalise(pixels))
        masks.detach()
        removed = pruned(pruned.normalise(pixels))
    difference = max(float((a - b).abs().max()) for a, b in zip(masked, removed, strict=True))
    scale = max(float(output.abs().max()) for output in masked)
    if not difference <= TOLERANCE * scale:  # NaN is not
        raise ValueError(
            f"expected the pruned network to compute what the masked one does, got a difference of "
            f"{difference:.3g} where outputs reach {scale:.3g}; please report the network"
        )
    return difference
