"""Detection on a batch of images, on one or several views of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from src.detection.decoding import Candidates, Decoder, merge
from src.detection.objective import Network
from src.types import MIRRORED_LANDMARKS, Detections

LARGEST_SCALE = 16.0
"""More enlarges nothing but the memory needed."""

Found = TypeVar("Found", Candidates, Detections)


@dataclass(frozen=True)
class Views:
    """Test-time augmentation: each image is seen at every scale, and mirrored if asked.

    Args:
        scales: factors on the network input; (1,) is plain single-scale testing.
        flip: also look at the mirror image.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(float(s) for s in self.scales))
        if not self.scales or not all(0 < s <= LARGEST_SCALE for s in self.scales):  # not of NaN
            raise ValueError(
                f"expected at least one scale, all above 0 and at most {LARGEST_SCALE:g}, got "
                f"{self.scales}"
            )


def detect(
    network: Network, decoder: Decoder, images: Tensor, scales: Tensor, views: Views
) -> list[Detections]:
    """Detect faces in a batch.

    Args:
        network: the detector.
        decoder: thresholds.
        images: pixels, shape [B, 3, H, W], uint8.
        scales: shape [B, 2]: input pixels per original pixel along x and y; detections come back in
            original pixels.
        views: which versions of each image to look at.

    Returns:
        one :class:`Detections` per image.
    """
    parts = []
    for scale in views.scales:
        pixels = images if scale == 1 else _resize(images, scale)
        for flip in (False, True) if views.flip else (False,):
            seen = pixels.flip(-1) if flip else pixels
            outputs = network(network.normalise(seen))
            height, width = seen.shape[-2:]
            found = decoder.candidates(outputs, network.priors, height, width)
            if flip:
                found = _mirror(found, width)
            # Sides are rounded: the scale asked for is not quite that of either axis.
            rounded = width / images.shape[-1], height / images.shape[-2]
            parts.append(_original(found, scales.new_tensor(rounded, device=images.device)))
    merged = parts[0] if len(parts) == 1 else merge(parts)
    return [
        _original(found, scale)
        for found, scale in zip(decoder.suppress(merged), scales.to(images.device), strict=True)
    ]


def _resize(images: Tensor, scale: float) -> Tensor:
    size = [max(1, round(side * scale)) for side in images.shape[-2:]]
    return F.interpolate(images.to(torch.float32), size=size, mode="bilinear", antialias=scale < 1)


def _original(found: Found, scale: Tensor) -> Found:
    """Undo a scale [2] of x and y."""
    return found._replace(boxes=found.boxes / scale.repeat(2), landmarks=found.landmarks / scale)


def _mirror(found: Candidates, width: int) -> Candidates:
    x1, y1, x2, y2 = found.boxes.unbind(-1)
    x, y = found.landmarks[:, :, MIRRORED_LANDMARKS].unbind(-1)
    return Candidates(
        torch.stack([width - x2, y1, width - x1, y2], dim=-1),
        found.scores,
        torch.stack([width - x, y], dim=-1),
    )
