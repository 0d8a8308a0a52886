"""In which pictures detectors differ, and in which faces of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from src.evaluation.ground_truth import ImageTruth
from src.evaluation.mistakes import faces_of


class Judgement(NamedTuple):
    """The boxes of a detector in one picture from a threshold on."""

    rows: np.ndarray
    """[K, 5] (x, y, w, h, score), pixels of the original image."""
    is_false: np.ndarray
    """[K] bool: on no labelled face, counted or not."""
    is_found: np.ndarray
    """[N] bool: counted faces of the labels with a box on them."""


class Difference(NamedTuple):
    """A picture; the lists have a number per detector."""

    name: str
    faces: int
    """That the hard setting counts."""
    found: list[int]
    """Of them."""
    false: list[int]
    """Boxes without a face."""
    disputed: int
    """Faces that some detectors find and others do not."""

    @property
    def size(self) -> int:
        """Disputed faces, and how much the numbers of boxes without a face differ."""
        return self.disputed + max(self.false) - min(self.false)

    def content(self) -> dict[str, Any]:
        """Everything, of JSON's types."""
        return {**self._asdict(), "size": self.size}


def judge_picture(rows: np.ndarray, truth: ImageTruth, threshold: float) -> Judgement:
    """Which boxes from ``threshold`` on are right, and which faces they find.

    Args:
        rows: [K, 5] (x, y, w, h, score), pixels of the original image.
        truth: the labelled faces, [N].
        threshold: lowest score that counts.
    """
    rows = rows[rows[:, 4] >= threshold]
    face = faces_of(rows, truth)
    found = np.zeros(len(truth.hard), bool)
    found[face[face >= 0]] = True
    return Judgement(rows, face < 0, found & truth.hard)


def find_differences(
    detectors: Sequence[Mapping[str, np.ndarray]],
    truth: Mapping[str, ImageTruth],
    threshold: float,
) -> list[Difference]:
    """What detectors find in every picture, those first in which they differ most.

    Args:
        detectors: of each, name of a picture -> [K, 5] (x, y, w, h, score).
        truth: name -> labelled faces, of the same pictures.
        threshold: see :func:`judge_picture`.
    """
    found = []
    for name, labels in truth.items():
        judged = [judge_picture(rows[name], labels, threshold) for rows in detectors]
        seen = np.stack([each.is_found for each in judged])
        found.append(
            Difference(
                name,
                faces=int(labels.hard.sum()),
                found=[int(each.sum()) for each in seen],
                false=[int(each.is_false.sum()) for each in judged],
                disputed=int((seen.any(axis=0) & ~seen.all(axis=0)).sum()),
            )
        )
    return sorted(found, key=lambda each: (-each.size, each.name))
