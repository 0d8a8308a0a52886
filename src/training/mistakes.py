"""Contact sheets of what a detector gets wrong."""

from __future__ import annotations

import heapq
import logging
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np

from src.evaluation.mistakes import find_mistakes
from src.evaluation.wider_ap import SIZES
from src.images.drawing import GREEN, ORANGE, contact_sheet, draw_faces
from src.images.files import write_image
from src.types import Batch

log = logging.getLogger(__name__)

SURROUNDINGS = 3.0
"""Side of a tile, in sides of its box: without surroundings nobody can tell what it is."""
TILE = 160
"""Pixels."""


class MistakeSheets(L.Callback):
    """Writes ``false_positives.png`` and ``missed.png``, and counts what they are examples of.

    The first has the most confident boxes without a face, the best first; the second faces without
    a box, a row per size from below 16 to above 96 pixels, spread over the images.

    Args:
        folder: where they go.
        count: tiles of each sheet.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.count = count
        self._false: list[tuple[float, int, np.ndarray]] = []
        self._missed: list[list[tuple[float, int, np.ndarray]]] = [[] for _ in SIZES]
        self._counts = [0] * (len(SIZES) + 1)
        self._chance = np.random.default_rng(0)

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        truth = pl_module.metric.truth
        for i, found in enumerate(outputs["detections"]):
            boxes, scores = found.boxes.cpu().numpy(), found.scores.cpu().numpy()
            wrong = find_mistakes(boxes, scores, truth[batch.names[i]])
            image = np.ascontiguousarray(batch.images[i].permute(1, 2, 0).cpu().numpy())
            scale = batch.scales[i].repeat(2).cpu().numpy()
            for box, score in zip(wrong.false, wrong.false_scores, strict=True):
                self._counts[-1] += 1
                self._keep(self._false, self.count, float(score), image, box * scale, score)
            for box, size in zip(wrong.missed, wrong.missed_size, strict=True):
                self._counts[size] += 1
                share = self.count // len(SIZES)
                self._keep(self._missed[size], share, self._chance.random(), image, box * scale)

    def _keep(
        self, heap: list[tuple[float, int, np.ndarray]], most: int, value: float,
        image: np.ndarray, box: np.ndarray, score: float | None = None,
    ) -> None:  # fmt: skip
        """Keep the tile if it is among the ``most`` of largest value."""
        if len(heap) < most or value > heap[0][0]:
            entry = (value, sum(self._counts), _tile(image, box, score))
            (heapq.heappush if len(heap) < most else heapq.heappushpop)(heap, entry)

    def on_test_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        if not trainer.is_global_zero:  # the sheets are of the images of the first process
            return
        *missed, false = self._counts
        log.info(
            "mistakes: %d boxes above 0.5 without a face; faces without a box above 0.3: %d below "
            "16 px, %d to 32, %d to 96, %d above", false, *missed,
        )  # fmt: skip
        columns = max(1, self.count // len(SIZES))
        blank = np.zeros((TILE, TILE, 3), np.uint8)
        best = [tile for *_, tile in sorted(self._false, key=lambda e: e[:2], reverse=True)]
        rows = [[tile for *_, tile in heap] for heap in self._missed]
        filled = [tile for row in rows for tile in [*row, *[blank] * (columns - len(row))]]
        for name, tiles in (("false_positives", best), ("missed", filled if any(rows) else [])):
            if tiles:
                sheet = contact_sheet(tiles, columns=columns, tile=TILE)
                write_image(self.folder / f"{name}.png", sheet)


def _tile(image: np.ndarray, box: np.ndarray, score: float | None) -> np.ndarray:
    """A box with its surroundings; with a score it is one that was found."""
    middle, side = (box[:2] + box[2:]) / 2, max(*(box[2:] - box[:2]), 4.0) * SURROUNDINGS
    low = np.floor(np.clip(middle - side / 2, 0, None)).astype(int)
    high = np.ceil(middle + side / 2).astype(int)
    cut = image[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)]
    factor = TILE / max(cut.shape[:2])
    enlarged = cv2.resize(cut, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    place = (box - np.tile(low, 2)) * factor
    return draw_faces(
        enlarged, place[None], colour=GREEN if score is None else ORANGE,
        scores=None if score is None else np.array([score]),
    )  # fmt: skip
