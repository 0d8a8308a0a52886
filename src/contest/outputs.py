"""What the outputs of a detector mean: from their names and shapes to boxes in pixels.

=========  ==========================================================================
``raw``    an offset, two logits or probabilities (background, face) and, if any, five
           landmarks per prior, as RetinaFace gives them: [B, P, 4], [B, P, 2], [B, P, 10]
``boxes``  corners in pixels, a score and, if any, landmarks per row: [B, P, 4], [B, P] or
           [B, P, 1], [B, P, 5, 2]; not suppressed
``faces``  the same of faces alone, best first, and ``count`` [B]: suppressed in the graph
``yunet``  ``cls_S``, ``obj_S``, ``bbox_S`` and ``kps_S`` per stride S, as YuNet gives them
=========  ==========================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.detection.decoding import Candidates, Decoder, best, take
from src.detection.priors import PriorSpec, feature_shapes
from src.detection.yunet import KINDS as YUNET
from src.detection.yunet import yunet_rows
from src.types import NUM_LANDMARKS, Detections, Outputs

KINDS = ("raw", "boxes", "faces", "yunet")
_SURE = 1e-3
"""How far probabilities of a row are from 1 together."""


class Meaning(NamedTuple):
    """Which output is what."""

    kind: str
    """One of :data:`KINDS`."""
    names: Mapping[str, str]
    """Role -> name of the output: deltas, logits, boxes, scores, landmarks, count; YuNet's own."""
    strides: tuple[int, ...] = ()
    """Of YuNet's levels, ascending."""
    probabilities: bool = False
    """Whether the ``logits`` are probabilities already."""


def meaning_of(outputs: Mapping[str, np.ndarray], kind: str | None = None) -> Meaning:
    """What the outputs for one image mean.

    Args:
        outputs: by name.
        kind: which of :data:`KINDS` they are known to be; None: whatever fits.

    Raises:
        ValueError: none fits.
    """
    found = [each for each in (_yunet(outputs), _faces(outputs), _raw(outputs), _boxes(outputs))
             if each is not None and kind in (None, each.kind)]  # fmt: skip
    if not found:
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in outputs.items())
        raise ValueError(
            f"expected outputs of a face detector ({kind or ', '.join(KINDS)}; see "
            f"src/contest/outputs.py), got {shapes}"
        )
    return found[0]


def detections(
    meaning: Meaning,
    outputs: Mapping[str, np.ndarray],
    decoder: Decoder,
    priors: PriorSpec,
    height: int,
    width: int,
) -> Detections:
    """The faces of one image.

    Args:
        meaning: of the outputs.
        outputs: for one image of ``height`` x ``width`` pixels.
        decoder: thresholds; suppression in the graph has its own as well.
        priors: of kind ``raw``.

    Returns:
        In pixels of that image, best first; landmarks mean nothing where the network has none.

    Raises:
        ValueError: outputs for other priors.
    """
    tensors = {role: torch.from_numpy(outputs[name]).float()
               for role, name in meaning.names.items()}  # fmt: skip
    if meaning.kind == "faces":
        return _counted(tensors, decoder)
    if meaning.kind == "raw":
        candidates = decoder.candidates(
            _raw_outputs(meaning, tensors, priors, height, width), priors, height, width
        )
    else:
        if meaning.kind == "yunet":
            boxes, scores, landmarks = yunet_rows(tensors, meaning.strides, height, width)
            scores = scores.sqrt()  # as YuNet's own program gives them out
        else:
            boxes, scores = tensors["boxes"], tensors["scores"].reshape(1, -1)
            landmarks = tensors.get("landmarks", _no_landmarks(boxes)).reshape(1, -1, 10)
        scores, index = best(scores, decoder.score_threshold, decoder.top_k)
        points = take(landmarks, index).unflatten(-1, (NUM_LANDMARKS, 2))
        candidates = Candidates(take(boxes, index), scores, points)
    return decoder.suppress(candidates)[0]


def _raw_outputs(
    meaning: Meaning, tensors: Mapping[str, Tensor], priors: PriorSpec, height: int, width: int
) -> Outputs:
    deltas, logits = tensors["deltas"], tensors["logits"]
    cells = sum(rows * columns for rows, columns in feature_shapes(priors, height, width))
    if deltas.shape[1] != cells * priors.num_per_cell:
        raise ValueError(
            f"expected {cells * priors.num_per_cell:,} rows of output for {height} x {width} "
            f"pixels and priors {priors.sizes} at strides {priors.strides}, got "
            f"{deltas.shape[1]:,}; give its priors in a YAML file"
        )
    if meaning.probabilities:
        logits = logits.clamp(min=torch.finfo(torch.float32).tiny).log()  # softmax undoes it
    return Outputs(deltas, logits, tensors.get("landmarks", _no_landmarks(deltas)))


def _counted(tensors: Mapping[str, Tensor], decoder: Decoder) -> Detections:
    count = int(tensors["count"].reshape(-1)[0])
    boxes, scores = tensors["boxes"][0, :count], tensors["scores"].reshape(-1)[:count]
    landmarks = tensors.get("landmarks", _no_landmarks(boxes)).reshape(-1, NUM_LANDMARKS, 2)
    kept = scores > decoder.score_threshold
    return Detections(boxes[kept], scores[kept], landmarks[:count][kept])


def _no_landmarks(boxes: Tensor) -> Tensor:
    return boxes.new_zeros(*boxes.shape[:-1], 2 * NUM_LANDMARKS)


def _yunet(outputs: Mapping[str, np.ndarray]) -> Meaning | None:
    kinds: dict[int, set[str]] = {}
    for name in outputs:
        if found := re.fullmatch(r"(cls|obj|bbox|kps)_(\d+)", name):
            kinds.setdefault(int(found[2]), set()).add(found[1])
    if not kinds or any(each != set(YUNET) for each in kinds.values()):
        return None
    names = [f"{kind}_{stride}" for stride in kinds for kind in YUNET]
    return Meaning("yunet", dict(zip(names, names, strict=True)), tuple(sorted(kinds)))


def _faces(outputs: Mapping[str, np.ndarray]) -> Meaning | None:
    boxes = None if "count" not in outputs else _boxes(outputs)
    return boxes and Meaning("faces", {**boxes.names, "count": "count"})


def _raw(outputs: Mapping[str, np.ndarray]) -> Meaning | None:
    names = _by_shape(outputs, {"deltas": (4,), "logits": (2,), "landmarks": (10,)})
    if not {"deltas", "logits"} <= set(names):
        return None
    logits = outputs[names["logits"]]
    sums = logits.sum(axis=-1)
    probabilities = bool(np.abs(sums - 1).max() < _SURE and logits.min() >= 0)
    return Meaning("raw", names, probabilities=probabilities)


def _boxes(outputs: Mapping[str, np.ndarray]) -> Meaning | None:
    names = _by_shape(outputs, {"boxes": (4,), "landmarks": (NUM_LANDMARKS, 2)})
    if "boxes" not in names:
        return None
    rows = outputs[names["boxes"]].shape[1]
    scores = [name for name, value in outputs.items() if value.shape in ((1, rows), (1, rows, 1))]
    return Meaning("boxes", {**names, "scores": scores[0]}) if len(scores) == 1 else None


def _by_shape(
    outputs: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, str]:
    """Role -> name of the only output [1, P, ...] of that shape behind the rows."""
    found = {}
    for role, shape in shapes.items():
        names = [name for name, value in outputs.items()
                 if value.ndim == 2 + len(shape) and value.shape[2:] == shape]  # fmt: skip
        if len(names) == 1:
            found[role] = names[0]
    return found
