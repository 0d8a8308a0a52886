"""Use a trained detector from Python: ``load_detector(path)(image)``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from src import checkpoint
from src.detection.decoding import Decoder
from src.detection.inference import Views, detect
from src.images.resize import fit_long_side
from src.models import FaceDetector
from src.profiling.devices import find_device
from src.types import Detections

LARGEST_SIDE = 2**16
"""Pixels. No network sees more at once; the setting is a mistake."""


class Detector:
    """Finds faces in an image.

    Args:
        model: the network.
        decoder: thresholds; the default keeps confident detections only.
        long_side: resize images so that their longer side has this many pixels; None keeps them.
        views: test-time augmentation.
        device: where to run; by default CUDA when there is one.

    Raises:
        ValueError: a long side out of its range, or a device that is not there.
    """

    def __init__(
        self,
        model: FaceDetector,
        *,
        decoder: Decoder | None = None,
        long_side: int | None = None,
        views: Views | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        if long_side is not None and not (
            isinstance(long_side, int) and 1 <= long_side <= LARGEST_SIDE
        ):
            raise ValueError(
                f"expected long_side from 1 to {LARGEST_SIDE:,} pixels, or none, got {long_side!r}"
            )
        self.device = find_device(device)
        self.model = model.eval().to(self.device)
        self.decoder = decoder or Decoder(score_threshold=0.5)
        self.long_side = long_side
        self.views = views or Views()

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> Detections:
        """Faces of one image.

        Args:
            image: BGR pixels, shape [H, W, 3], uint8, as ``cv2.imread`` gives.

        Returns:
            Detections in pixels of ``image``, best first, on the CPU. A box may reach over the
            border where a face does.

        Raises:
            ValueError: not such an image.
        """
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
            shape = getattr(image, "shape", type(image).__name__)
            raise ValueError(f"expected a BGR image [H, W, 3] as cv2.imread gives it, got {shape}")
        if image.dtype != np.uint8 or 0 in image.shape:
            raise ValueError(
                f"expected uint8 pixels and no empty side, got {image.dtype} {image.shape}"
            )
        scale = (1.0, 1.0)
        if self.long_side is not None:
            image, scale = fit_long_side(image, self.long_side)
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
        (found,) = detect(
            self.model, self.decoder, pixels.to(self.device), torch.tensor([scale]), self.views
        )
        return Detections(*(value.cpu() for value in found))


def load_detector(
    path: str | Path,
    *,
    score_threshold: float = 0.5,
    long_side: int | None = None,
    views: Views | None = None,
    device: str | torch.device | None = None,
) -> Detector:
    """A detector from a checkpoint of ours or from published FeatherFace weights.

    The options are those of :class:`Detector`; ``score_threshold`` is the lowest score kept.

    >>> from src.detector import load_detector
    >>> detector = load_detector("outputs/train/my_run/checkpoints/best.ckpt")
    >>> boxes, scores, landmarks = detector(cv2.imread("photo.jpg"))
    """
    return Detector(
        checkpoint.load(path).model,
        decoder=Decoder(score_threshold=score_threshold),
        long_side=long_side,
        views=views,
        device=device,
    )
