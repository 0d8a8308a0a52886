"""How far an exported network is from the one it was made of."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.deploy.runtime import OnnxNetwork
from src.detection.coding import decode_boxes, decode_landmarks
from src.detection.priors import priors_for
from src.models import FaceDetector


class Difference(NamedTuple):
    """How far one output is off, over all images."""

    largest: float
    """Largest absolute difference; NaN if a value is not a number."""
    scale: float
    """Largest absolute value that PyTorch computes."""

    @property
    def relative(self) -> float:
        """The difference as a fraction of the scale."""
        return self.largest / max(self.scale, sys.float_info.min)


@torch.inference_mode()
def differences(
    model: FaceDetector, network: OnnxNetwork, batches: Iterable[np.ndarray]
) -> dict[str, Difference]:
    """Compare every output on batches of images.

    Args:
        model: what the network was exported from, on the CPU, in eval mode.
        network: the exported one.
        batches: BGR pixels, shape [B, 3, H, W], uint8; of differing shapes.

    Raises:
        ValueError: outputs of another name or shape.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for pixels in batches:
        theirs = network(pixels)
        ours = expected(model, torch.from_numpy(pixels), decode=network.metadata["decode"])
        shapes = [{name: tuple(v.shape) for name, v in values.items()} for values in (ours, theirs)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"expected outputs {shapes[0]} for pixels of shape {pixels.shape}, got {shapes[1]}"
                f" from {network.path}; please report it"
            )
        for name, value in ours.items():
            wanted = value.numpy()
            largest, scale = np.abs(wanted - theirs[name]).max(), np.abs(wanted).max()
            found.setdefault(name, []).append((float(largest), float(scale)))
    # numpy's max and not Python's: it does not lose a NaN.
    return {
        name: Difference(*np.array(values).max(axis=0).tolist()) for name, values in found.items()
    }


def expected(model: FaceDetector, pixels: Tensor, *, decode: bool) -> dict[str, Tensor]:
    """The outputs as the rest of the package computes them, by name."""
    outputs = model(model.normalise(pixels))
    if not decode:
        return outputs._asdict()
    spec = model.priors
    priors = priors_for(spec, pixels.shape, pixels.device).boxes_cxcywh
    return {
        "boxes": decode_boxes(outputs.deltas, priors, spec.variances),
        "scores": outputs.logits.softmax(dim=-1)[..., 1],
        "landmarks": decode_landmarks(outputs.landmarks, priors, spec.variances),
    }
