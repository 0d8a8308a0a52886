"""YuNet's outputs: one prediction a cell on each level, to boxes in pixels.

Source: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research
2023, and FaceDetectorYN of OpenCV (modules/objdetect/src/face_detect.cpp): centres are offsets from
the corner of a cell in cells, sides are exponentials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from src.types import NUM_LANDMARKS

KINDS = ("cls", "obj", "bbox", "kps")
"""What a level has; the output of kind K and stride S is called ``K_S``."""


def yunet_rows(
    outputs: Mapping[str, Tensor], strides: Sequence[int], height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes [B, P, 4], scores [B, P] and landmarks [B, P, 10] of all levels, pixels.

    Args:
        outputs: by name, [B, rows * columns, C] each.
        strides: of the levels, in the order of the rows that come back.
        height, width: of the images, pixels.

    Returns:
        A score is class times objectness, the overlap with a face if there is one; what OpenCV
        gives out is the root of that.

    Raises:
        ValueError: outputs for images of another size.
    """
    levels = []
    for stride in strides:
        rows, columns = height // stride, width // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        corner = torch.stack([x, y], dim=-1).reshape(1, -1, 2)
        box, points = outputs[f"bbox_{stride}"], outputs[f"kps_{stride}"]
        if box.shape[1] != corner.shape[1]:
            raise ValueError(
                f"expected {corner.shape[1]:,} rows of bbox_{stride} for {height} x {width} "
                f"pixels, got {box.shape[1]:,}"
            )
        centre, half = (box[..., :2] + corner) * stride, box[..., 2:].exp() * stride / 2
        cls, obj = (outputs[f"{kind}_{stride}"].clamp(0, 1) for kind in ("cls", "obj"))
        landmarks = (points + corner.repeat(1, 1, NUM_LANDMARKS)) * stride
        boxes = torch.cat([centre - half, centre + half], dim=-1)
        levels.append((boxes, (cls * obj)[..., 0], landmarks))
    boxes, scores, landmarks = (torch.cat(parts, dim=1) for parts in zip(*levels, strict=True))
    return boxes, scores, landmarks
