"""WIDER FACE AP as a torchmetrics metric: collects matches per image, on any number of ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from src.evaluation.ground_truth import ImageTruth
from src.evaluation.prediction_files import check_rows, detection_rows
from src.evaluation.wider_ap import ImageMatches, WiderResult, average_precisions, match_image
from src.types import Detections

_STATES = {
    "images": ((0, 2), torch.int64),
    "scores": ((0,), torch.float32),
    "flags": ((0,), torch.uint8),
}
"""Name -> shape and type of an empty state, which a rank without images sends."""


class WiderAP(Metric):
    """Average precision over the images seen since the last reset; see ``wider_ap``.

    Only the ground truth of images given to ``update`` counts, so a partial run is consistent. An
    image that comes twice, as DistributedSampler makes it do to fill the last batch, counts once.

    States, lists of tensors joined over updates and ranks: ``images`` [I, 2] int64 (number of the
    image in the sorted names, number of its detections); ``scores`` [K] float32, exactly what
    ``Detections`` holds; ``flags`` [K] uint8 (``ImageMatches.flags``). The ground truth is no
    state: every rank has its own copy, and it stays out of ``state_dict``.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True

    images: list[Tensor]
    scores: list[Tensor]
    flags: list[Tensor]

    def __init__(self, truth: Mapping[str, ImageTruth]) -> None:
        """``truth``: ``event/file.jpg`` -> labelled faces; the same images on every rank."""
        super().__init__()
        if not truth:
            raise ValueError(
                "expected the ground truth of at least one image, got none; "
                "see src.evaluation.read_ground_truth and truth_from_boxes"
            )
        self.truth = dict(truth)
        self.names = sorted(self.truth)
        self._number = {name: number for number, name in enumerate(self.names)}
        for state in _STATES:
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, names: Sequence[str], detections: Sequence[Detections]) -> None:
        """Add images.

        Args:
            names: ``event/file.jpg`` of each image.
            detections: of each image, best first, in pixels of the original image.

        Raises:
            ValueError: if the lengths differ, an image is unknown, or a value is not finite.
        """
        if len(names) != len(detections):
            raise ValueError(
                f"expected detections for each of {len(names)} images, got {len(detections)}; "
                "pass an empty Detections where nothing was found"
            )
        matches = [self._match(*pair) for pair in zip(names, detections, strict=True)]
        for name, match in zip(names, matches, strict=True):
            image = torch.tensor([[self._number[name], len(match.flags)]])
            self.images.append(image.to(self.device))
            self.scores.append(torch.from_numpy(match.scores).float().to(self.device))
            self.flags.append(torch.from_numpy(match.flags).to(self.device))

    def compute(self) -> WiderResult:
        """AP over all images seen by all ranks."""
        numbers, counts = self._state("images").T
        ends = counts.cumsum()[:-1]
        scores = np.split(self._state("scores").astype(np.float64), ends)
        flags = np.split(self._state("flags"), ends)
        unique, first = np.unique(numbers, return_index=True)
        return average_precisions(
            [ImageMatches(scores[block], flags[block]) for block in first],
            [self.truth[self.names[number]] for number in unique],
        )

    def _match(self, name: str, detections: Detections) -> ImageMatches:
        if name not in self.truth:
            raise ValueError(
                f"expected one of the {len(self.names)} images of the ground truth "
                f"({', '.join(self.names[:3])}, ...), got {name!r}; "
                "evaluate with the ground truth of the data in use"
            )
        rows = detection_rows(detections)
        check_rows(name, rows)
        return match_image(rows, self.truth[name])

    def _state(self, name: str) -> np.ndarray:
        """One state of all updates; a list before, a tensor after the ranks were joined."""
        shape, dtype = _STATES[name]
        value = getattr(self, name)
        if isinstance(value, list):
            value = dim_zero_cat([torch.empty(shape, dtype=dtype, device=self.device), *value])
        return value.cpu().numpy()

    def _sync_dist(self, *args: Any, **kwargs: Any) -> None:
        # torchmetrics sends float32 of one dimension for a rank that saw nothing; the collective
        # of the other ranks' types and shapes then fails. An empty tensor of the right kind does.
        for name, (shape, dtype) in _STATES.items():
            if not getattr(self, name):
                setattr(self, name, [torch.empty(shape, dtype=dtype, device=self.device)])
        super()._sync_dist(*args, **kwargs)
