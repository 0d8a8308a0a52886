"""Conversion: a network into another of its scheme; what fits is copied, the rest is refit.

A trained detector is worth thousands of steps to one that differs from it in a few places: plain
convolutions instead of deformable ones, a narrower pyramid, contexts in groups. Layers of the same
name and shape are copied; where the new network is narrower, the channels go that cost least; then
all that reads something else than before is refit (:mod:`src.pruning.reconstruction`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from src.models import FaceDetector, build_model, wiring_of
from src.models.channels import Wiring
from src.pruning.elimination import elimination_scores
from src.pruning.plan import keep
from src.pruning.reconstruction import DAMPING, kept_outputs, reconstruct
from src.pruning.surgery import remove


@torch.no_grad()
def convert(
    source: FaceDetector,
    config: Mapping[str, Any],
    batches: Sequence[Tensor],
    *,
    damping: float = DAMPING,
    report: Callable[[str, float], None] = lambda name, unexplained: None,
) -> FaceDetector:
    """The network of ``config`` with the knowledge of ``source``.

    Args:
        source: trained, in evaluation mode; left as it is.
        config: of :func:`src.models.build_model`.
        batches: uint8 or float BGR pixels [B, 3, H, W], 0 to 255, of training images.
        damping: see :func:`src.pruning.reconstruction.reconstruct`.
        report: told the name of each layer that is refit and the share of its outputs' variance
            that is left unexplained.

    Returns:
        A network in evaluation mode. Parts without a namesake in ``source`` are as at the start of
        a training.

    Raises:
        ValueError: no layer of the two networks has the same name and number of outputs.
    """
    target = build_model(config).eval().to(source.mean.device)
    wiring = wiring_of(source)
    counts = _common_widths(wiring, wiring_of(target))
    kept = np.ones(wiring.num_channels, bool)
    narrow = source
    if counts != [len(variable.channels) for variable in wiring.variables]:
        scores = elimination_scores(source, wiring, batches, damping=damping)
        kept = keep(wiring, scores, counts)
        narrow = remove(source, wiring, kept)
    copied = _copy(narrow, target)
    outputs = kept_outputs(source, wiring, kept)
    layers = [
        name
        for name, module in target.named_modules()
        if isinstance(module, nn.Conv2d) and _outputs_of(narrow, name) == module.out_channels
    ]
    if not layers:
        raise ValueError(
            f"expected a network with layers like those of {source.config['name']}, got "
            f"{target.config['name']} without any; train it with kd=weighted instead"
        )
    for name in layers:
        if f"{name}.weight" not in copied:  # the refit starts from nothing rather than from noise
            nn.init.zeros_(target.get_submodule(name).weight)  # type: ignore[arg-type]
    reconstruct(
        target, source, batches, outputs=outputs, layers=layers, damping=damping, report=report
    )
    return target


def _common_widths(source: Wiring, target: Wiring) -> list[int]:
    """Channels of each variable of ``source`` that ``target`` has room for."""
    room = {name: len(v.channels) for v in target.variables for name in v.names}
    return [
        min(
            len(variable.channels),
            *(room.get(name, len(variable.channels)) for name in variable.names),
        )
        for variable in source.variables
    ]


def _copy(source: FaceDetector, target: FaceDetector) -> set[str]:
    """Copy the tensors of the same name and shape; returns their names."""
    theirs = source.state_dict()
    same = {
        name: theirs[name]
        for name, mine in target.state_dict().items()
        if name in theirs and theirs[name].shape == mine.shape
    }
    target.load_state_dict(same, strict=False)
    return set(same)


def _outputs_of(model: FaceDetector, name: str) -> int | None:
    """Output channels of the convolution of that name, deformable or not."""
    module: Any = dict(model.named_modules()).get(name)
    weight = getattr(module, "weight", None)
    return len(weight) if isinstance(weight, Tensor) and weight.dim() == 4 else None
