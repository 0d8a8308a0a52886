"""The types data flows through: files -> Batch -> Outputs -> LossTerms | Detections -> metrics.

Shape letters, used in every docstring: B images, P priors, N faces of one image, F faces of a
whole batch, K detections of one image, C channels, H W pixels. Boxes are (x1, y1, x2, y2) in
pixels unless a name says otherwise (``boxes_cxcywh``, ``boxes_xywh``); images are BGR.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

NUM_LANDMARKS = 5
"""Left eye, right eye, nose, left and right mouth corner, as seen in the image."""
MIRRORED_LANDMARKS = (1, 0, 2, 4, 3)
"""Their order in the mirror image: left and right eye change places, and so do mouth corners."""
MEAN_BGR = (104, 117, 123)
"""Mean colour of ImageNet, as the Caffe models and RetinaFace subtract it. Padding has it and so
becomes zero."""


class Faces(NamedTuple):
    """Labelled faces of one image, as numpy arrays (the data side, before batching)."""

    boxes: np.ndarray
    """[N, 4] float32, pixels."""
    landmarks: np.ndarray
    """[N, 5, 2] float32, pixels; zeros where ``has_landmarks`` is False."""
    has_landmarks: np.ndarray
    """[N] bool."""
    ignore: np.ndarray
    """[N] bool: flagged invalid by the annotators; neither a positive nor background."""


class Sample(NamedTuple):
    """One image with its faces."""

    image: np.ndarray
    """[H, W, 3] uint8, BGR."""
    faces: Faces
    name: str
    """``event/file.jpg``, the image's identity in every file format of WIDER FACE."""


class Targets(NamedTuple):
    """The faces of a batch, concatenated; ``image_index`` says whose each one is."""

    boxes: Tensor
    """[F, 4] float32, pixels of the network input."""
    landmarks: Tensor
    """[F, 5, 2] float32."""
    has_landmarks: Tensor
    """[F] bool."""
    ignore: Tensor
    """[F] bool."""
    image_index: Tensor
    """[F] int64, 0..B-1, ascending."""


class Batch(NamedTuple):
    """Images of one step. Pixels stay uint8 until on the device: a quarter of the bytes."""

    images: Tensor
    """[B, 3, H, W] uint8, BGR, padded right and below with the mean colour where sizes differ."""
    targets: Targets
    names: tuple[str, ...]
    scales: Tensor
    """[B, 2] float32: pixels of the network input per pixel of the original image, x and y."""


class Outputs(NamedTuple):
    """Raw network outputs, one row per prior (order: level, row, column, prior of the cell)."""

    deltas: Tensor
    """[B, P, 4] encoded boxes."""
    logits: Tensor
    """[B, P, 2] background, face; before softmax."""
    landmarks: Tensor
    """[B, P, 10] encoded landmarks."""


class Assignment(NamedTuple):
    """Which face each prior answers for: what an assigner decides."""

    face_index: Tensor
    """[B, P] int64 index into ``Targets``; meaningful where ``labels`` is 1, else 0."""
    labels: Tensor
    """[B, P] int8: 1 positive, 0 background, -1 ignored by every loss."""


class Matched(NamedTuple):
    """What an assignment means for the losses: labels of all priors, and the positives gathered.

    M positives of the whole batch, ordered by image and prior.
    """

    positive: Tensor
    """[B, P] bool."""
    negative: Tensor
    """[B, P] bool: background. A prior that is neither is ignored by every loss."""
    rows: tuple[Tensor, Tensor]
    """Image and prior of each positive, [M] int64 each: ``outputs.deltas[rows]`` is [M, 4]."""
    face: Tensor
    """[M] int64 index into ``Targets``; priors that answer for the same face have the same."""
    boxes: Tensor
    """[M, 4] float32, of that face, pixels of the network input."""
    landmarks: Tensor
    """[M, 5, 2] float32, of that face."""
    has_landmarks: Tensor
    """[M] bool."""
    priors_cxcywh: Tensor
    """[M, 4] float32, the positive priors themselves, pixels."""
    variances: tuple[float, float]
    """Scale of the encoded centres and sizes."""


class Detections(NamedTuple):
    """Faces found in one image, best first."""

    boxes: Tensor
    """[K, 4] float32, pixels of the original image."""
    scores: Tensor
    """[K] float32, 0 to 1."""
    landmarks: Tensor
    """[K, 5, 2] float32, pixels of the original image."""


class LossTerms(NamedTuple):
    """What is minimised, and the unweighted parts it is made of, for the log."""

    total: Tensor
    """scalar."""
    parts: dict[str, Tensor]
    """name -> scalar, such as ``box``, ``class``, ``landmark``."""
