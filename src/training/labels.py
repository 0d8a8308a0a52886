"""The labels of training images, improved by a teacher before the training begins."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from src import checkpoint
from src.data.reading import Annotation
from src.distillation import DetectedFaces, LabelImprovement, Teacher
from src.runs.teachers import TeacherSearch
from src.training.teachers import fingerprint

log = logging.getLogger(__name__)


class TeacherLabels:
    """Annotations -> annotations with better faces, see :class:`LabelImprovement`.

    Args:
        teacher: checkpoint of ours or published weights; None: as ``search`` finds.
        search: finds the teacher of a run that names none; None: it must be named.
        folder: where detections are kept, in a file for each teacher and list of scales.
        scales: of the images that the teacher sees; the original is 1.
        rules: what its detections change.

    Raises:
        ValueError: a scale that is not above 0; neither a teacher nor a search.
    """

    def __init__(
        self,
        *,
        teacher: str | None,
        search: TeacherSearch | None,
        folder: str,
        scales: Sequence[float],
        rules: LabelImprovement,
    ) -> None:
        if not scales or any(scale <= 0 for scale in scales):
            raise ValueError(
                f"expected scales above 0, got {list(scales)}; set data.improvement.scales"
            )
        self.find: Callable[[], Path]
        if teacher is not None:
            self.find = partial(Path, teacher)
        elif search is not None:
            self.find = search.find
        else:
            raise ValueError("expected a teacher that improves the labels; set kd.teacher=FILE")
        self.folder = Path(folder)
        self.scales = [float(scale) for scale in scales]
        self.rules = rules

    def __call__(self, annotations: Sequence[Annotation]) -> list[Annotation]:
        """The same images; computes what is not in the file yet, which takes seconds an image."""
        file = self.find()
        teacher = Teacher(checkpoint.load(file).model, name=str(file))
        identity = hashlib.sha256(json.dumps([fingerprint(teacher), self.scales]).encode())
        cache = DetectedFaces(self.folder / f"{identity.hexdigest()[:16]}.npz", self.scales)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        found = cache.find(teacher, {each.name: each.path for each in annotations}, device)
        improved = [
            each._replace(faces=self.rules(each.faces, found[each.name])) for each in annotations
        ]
        log.info("labels improved by %s: %s", file, _changes(annotations, improved))
        return improved


def _changes(before: Sequence[Annotation], after: Sequence[Annotation]) -> str:
    moved = ignored = regions = landmarks = 0
    for (_, _, old), (_, _, new) in zip(before, after, strict=True):
        count = len(old.boxes)
        regions += len(new.boxes) - count
        moved += int((old.boxes != new.boxes[:count]).any(axis=1).sum())
        ignored += int(np.sum(new.ignore[:count] & ~old.ignore))
        landmarks += int(np.sum(new.has_landmarks[:count] & ~old.has_landmarks))
    return (
        f"{moved:,} boxes moved, {landmarks:,} faces got landmarks, {ignored:,} are ignored, "
        f"{regions:,} regions to ignore added"
    )
