r"""How far the landmarks of detectors lie from those of a reference detector.

    python experiments/002-students/landmark_agreement.py REFERENCE DETECTOR [DETECTOR ...] \
        --images FOLDER

For faces that both find (score above 0.5, IoU above 0.5): the mean distance of the five points, in
per cent of the box's side (the root of its area). Says whether a student learned landmarks from its
teacher where the labels have none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from src.detection.boxes import pairwise_iou
from src.detector import load_detector
from src.images.files import read_image
from src.types import Detections

LEAST = 0.5
"""Score and overlap."""
LONG_SIDE = 640
"""Pixels."""


def distances(found: Detections, expected: Detections) -> torch.Tensor:
    """Of each face of ``expected`` that ``found`` has, too: [K], shares of the box's side."""
    if not len(found.boxes) or not len(expected.boxes):
        return torch.zeros(0)
    overlap, best = pairwise_iou(expected.boxes, found.boxes).max(dim=1)
    both = overlap > LEAST
    apart = (found.landmarks[best] - expected.landmarks)[both].norm(dim=-1).mean(dim=-1)
    sides = expected.boxes[both, 2:] - expected.boxes[both, :2]
    return apart / sides.prod(dim=-1).sqrt()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference")
    parser.add_argument("detectors", nargs="+")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--number", type=int, default=100)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    reference, *others = (
        load_detector(path, score_threshold=LEAST, long_side=LONG_SIDE)
        for path in (options.reference, *options.detectors)
    )
    files = sorted(options.images.rglob("*.jpg"))
    files = files[:: max(1, len(files) // options.number)]
    found: dict[str, list[torch.Tensor]] = {path: [] for path in options.detectors}
    for file in tqdm(files):
        image = read_image(file)
        expected = reference(image)
        for path, detector in zip(options.detectors, others, strict=True):
            found[path].append(distances(detector(image), expected))
    for path, parts in found.items():
        values = 100 * torch.cat(parts).numpy()
        middle, mean = np.median(values), np.mean(values)
        print(f"{path}: {len(values)} faces, mean {mean:.1f}%, median {middle:.1f}%")


if __name__ == "__main__":
    main()
