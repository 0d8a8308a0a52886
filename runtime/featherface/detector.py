"""From an image to its faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featherface.faces import Faces
from featherface.images import fit_long_side
from featherface.models import Model
from featherface.packages import cv2

CANDIDATES = 5000
"""Best boxes of an image that enter suppression, as in the protocol of WIDER FACE."""

LARGEST_SIZE = 2**16
"""Pixels of the longer side."""


class Detector:
    """Finds faces: ``Detector()(image)``.

    Args:
        model: a name in ``featherface.MODELS``, or an ONNX file of your own, written by
            ``python -m src.export decode=true`` of the training framework.
        threshold: lowest score kept, 0 to 1.
        size: resize images so that their longer side has this many pixels; None keeps them.
        nms_iou: overlap above which the worse of two boxes goes.
        providers: of ONNX Runtime, the preferred one first, such as ("cuda", "cpu").
        session_options: ``onnxruntime.SessionOptions``, for example for the number of threads.

    Attributes:
        model: the network, with ``name``, ``metadata`` and ``providers``.

    Raises:
        FileNotFoundError: no such model.
        ValueError: a setting out of its range, another kind of file, a provider that is not there.
    """

    def __init__(
        self,
        model: str | Path = "flagship",
        *,
        threshold: float = 0.5,
        size: int | None = None,
        nms_iou: float = 0.4,
        providers: Sequence[str] | None = None,
        session_options: Any = None,
    ) -> None:
        if not (0 <= threshold <= 1 and 0 < nms_iou <= 1):
            raise ValueError(
                f"expected threshold in [0, 1] and nms_iou in (0, 1], got {threshold} and {nms_iou}"
            )
        if size is not None and not (isinstance(size, int) and 1 <= size <= LARGEST_SIZE):
            raise ValueError(
                f"expected a size from 1 to {LARGEST_SIZE:,} pixels, or none, got {size!r}"
            )
        self.threshold, self.size, self.nms_iou = threshold, size, nms_iou
        self.model = Model(model, providers=providers, session_options=session_options)

    def __call__(self, image: np.ndarray) -> Faces:
        """The faces of one image, BGR [H, W, 3] uint8; see :meth:`detect_batch`."""
        return self.detect_batch([image])[0]

    def detect_batch(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """The faces of each image, in pixels of that image, best first.

        Images of one size go through the network together, so what is given at once decides how
        much memory is needed: about 60 MB for each megapixel.

        Args:
            images: BGR pixels, [H, W, 3], uint8, as ``read_image`` and ``cv2.imread`` give them.

        Raises:
            ValueError: not such an image.
        """
        seen = []
        for image in images:
            _check(image)
            seen.append(fit_long_side(image, self.size) if self.size else (image, (1.0, 1.0)))
        of_shape: dict[tuple[int, ...], list[int]] = {}
        for index, (pixels, _) in enumerate(seen):
            of_shape.setdefault(pixels.shape, []).append(index)
        found: dict[int, Faces] = {}
        for indices in of_shape.values():
            batch = np.stack([seen[index][0] for index in indices]).transpose(0, 3, 1, 2)
            outputs = self.model(np.ascontiguousarray(batch, dtype=np.float32))
            for index, *rows in zip(indices, *outputs, strict=True):
                found[index] = self._suppressed(Faces(*rows), seen[index][1])
        return [found[index] for index in range(len(seen))]

    def _suppressed(self, rows: Faces, scale: tuple[float, float]) -> Faces:
        """The faces among all rows of an image, in its own pixels.

        Args:
            rows: one for each prior, in pixels of what the network saw.
            scale: pixels that it saw per pixel of the image along x and y.
        """
        (sure,) = (rows.scores > self.threshold).nonzero()
        boxes, scores = rows.boxes[sure], rows.scores[sure]
        corners_and_sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        kept = list(
            cv2.dnn.NMSBoxes(
                corners_and_sizes.tolist(), scores.tolist(), self.threshold, self.nms_iou,
                top_k=CANDIDATES,
            )
        )  # fmt: skip
        factors = np.array(scale, dtype=np.float32)
        points = rows.landmarks[sure][kept] / factors
        return Faces(boxes[kept] / np.tile(factors, 2), scores[kept], points)


def _check(image: np.ndarray) -> None:
    """Raises ValueError unless it is BGR [H, W, 3] uint8 with pixels."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
        shape = getattr(image, "shape", type(image).__name__)
        raise ValueError(f"expected a BGR image [H, W, 3] as read_image gives it, got {shape}")
    if image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(
            f"expected uint8 pixels and no empty side, got {image.dtype} {image.shape}"
        )
