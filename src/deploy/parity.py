"""How far an exported network is from the one it was made of."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.deploy.graph import Faces
from src.deploy.options import ExportOptions
from src.deploy.runtime import Network
from src.detection.coding import decode_boxes, decode_landmarks
from src.detection.decoding import Decoder
from src.detection.priors import priors_for
from src.models import FaceDetector
from src.types import Outputs


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


class Expected(NamedTuple):
    """What eager PyTorch computes for a batch."""

    pixels: np.ndarray
    """[B, 3, H, W] uint8, BGR."""
    outputs: dict[str, np.ndarray]


@torch.inference_mode()
def expected(model: FaceDetector, pixels: np.ndarray, options: ExportOptions) -> Expected:
    """The outputs as the rest of the package computes them, by name, for [B, 3, H, W] uint8."""
    images = torch.from_numpy(pixels)
    outputs = model(model.normalise(images))
    return Expected(pixels, {k: v.numpy() for k, v in _named(model, images, outputs, options)})


def differences(network: Network, batches: Iterable[Expected]) -> dict[str, Difference]:
    """Compare every output on batches of images.

    Raises:
        ValueError: outputs of another name or shape.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for pixels, ours in batches:
        theirs = network(pixels)
        shapes = [{name: tuple(v.shape) for name, v in values.items()} for values in (ours, theirs)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"expected outputs {shapes[0]} for pixels of shape {pixels.shape}, got {shapes[1]};"
                " please report it"
            )
        if "count" in ours:
            theirs = _in_order_of(ours["boxes"], theirs)
        for name, wanted in ours.items():
            largest, scale = np.abs(wanted - theirs[name]).max(), np.abs(wanted).max()
            found.setdefault(name, []).append((float(largest), float(scale)))
    # numpy's max and not Python's: it does not lose a NaN.
    return {
        name: Difference(*np.array(values).max(axis=0).tolist()) for name, values in found.items()
    }


def _named(
    model: FaceDetector, images: Tensor, outputs: Outputs, options: ExportOptions
) -> Sequence[tuple[str, Tensor]]:
    spec = model.priors
    if options.decoder is not None:
        faces = _padded(options.decoder, outputs, model, images)
        return list(faces._asdict().items())
    if not options.decode:
        return list(outputs._asdict().items())
    priors = priors_for(spec, images.shape, images.device).boxes_cxcywh
    return [
        ("boxes", decode_boxes(outputs.deltas, priors, spec.variances)),
        ("scores", outputs.logits.softmax(dim=-1)[..., 1]),
        ("landmarks", decode_landmarks(outputs.landmarks, priors, spec.variances)),
    ]


def _padded(decoder: Decoder, outputs: Outputs, model: FaceDetector, images: Tensor) -> Faces:
    found = decoder(outputs, model.priors, *images.shape[-2:])
    batch, rows = len(found), decoder.top_k
    faces = Faces(
        torch.zeros(batch, rows, 4), torch.zeros(batch, rows), torch.zeros(batch, rows, 5, 2),
        torch.tensor([len(each.scores) for each in found]),
    )  # fmt: skip
    for image, each in enumerate(found):
        for padded, values in zip(faces, each, strict=False):
            padded[image, : len(values)] = values
    return faces


def _in_order_of(boxes: np.ndarray, theirs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Their faces in the order of our boxes: scores that differ by rounding change places."""
    apart = np.abs(boxes[:, :, None] - theirs["boxes"][:, None]).max(axis=-1)
    nearest = apart.argmin(axis=2)
    image = np.arange(len(boxes))[:, None]
    rows = {name: v[image, nearest] for name, v in theirs.items() if name != "count"}
    return {**rows, "count": theirs["count"]}
