"""What a detector returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class Face(NamedTuple):
    """One face of an image."""

    box: np.ndarray
    """[4] float32: x1, y1, x2, y2, pixels; may reach over the border where the face does."""
    score: float
    """0 to 1."""
    landmarks: np.ndarray
    """[5, 2] float32, pixels: left eye, right eye, nose, left and right mouth corner as seen."""


@dataclass(frozen=True, eq=False, slots=True)
class Faces:
    """The faces of one image, best first; ``len`` counts them, a loop gives each :class:`Face`."""

    boxes: np.ndarray
    """[N, 4] float32: x1, y1, x2, y2, pixels of the image."""
    scores: np.ndarray
    """[N] float32, 0 to 1."""
    landmarks: np.ndarray
    """[N, 5, 2] float32, pixels; whether they mean something is the model's affair."""

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Face]:
        for box, score, points in zip(self.boxes, self.scores, self.landmarks, strict=True):
            yield Face(box, float(score), points)

    def to_supervision(self) -> Any:
        """As ``supervision.Detections``, class 0, with ``data["landmarks"]``.

        Raises:
            ImportError: the package supervision is missing.
        """
        try:
            import supervision
        except ImportError as error:
            raise ImportError(
                f"expected the package supervision, got: {error}; run pip install supervision"
            ) from error
        return supervision.Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=np.zeros(len(self), dtype=int),
            data={"landmarks": self.landmarks},
        )
