"""Faces drawn on images, and many images on one sheet; for looking at labels and detections."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from src.images.resize import fit_long_side

GREEN = (80, 220, 60)
"""BGR."""
ORANGE = (0, 150, 255)
"""BGR."""
MAGENTA = (255, 80, 255)
"""BGR."""
GREY = (190, 190, 190)
"""BGR."""
_LANDMARK_COLOURS = ((0, 0, 255), (0, 255, 255), (255, 0, 255), (0, 255, 0), (255, 0, 0))
"""BGR of left eye, right eye, nose, left and right mouth corner: a swap shows at a glance."""
_SHEET_BACKGROUND = 40


def draw_faces(
    image: np.ndarray,
    boxes: np.ndarray,
    *,
    scores: np.ndarray | None = None,
    landmarks: np.ndarray | None = None,
    colour: tuple[int, int, int] = GREEN,
) -> np.ndarray:
    """Draw boxes, and scores and landmarks where given.

    Args:
        image: [H, W, 3] uint8, BGR; not modified.
        boxes: [N, 4] (x1, y1, x2, y2), pixels.
        scores: [N], 0 to 1, written above each box.
        landmarks: [N, 5, 2], pixels; a face whose ten numbers are all zero has none.
        colour: BGR of the boxes.

    Returns:
        A new image [H, W, 3] uint8.

    Raises:
        ValueError: if scores or landmarks are not as many as the boxes.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    for name, values in (("scores", scores), ("landmarks", landmarks)):
        if values is not None and len(values) != len(boxes):
            raise ValueError(
                f"expected as many {name} as boxes, got {len(values)} for {len(boxes)} boxes"
            )
    canvas = image.copy()
    # One pixel of line per 400 pixels of image stays visible when the picture is shown whole.
    thickness = max(1, round(max(image.shape[:2]) / 400))
    for index, (x1, y1, x2, y2) in enumerate(boxes):
        # Faces of a few pixels would disappear under a thick line.
        line = min(thickness, max(1, int(min(x2 - x1, y2 - y1) // 8)))
        cv2.rectangle(canvas, _point(x1, y1), _point(x2, y2), colour, line)
        if landmarks is not None and np.any(landmarks[index]):
            for (x, y), point_colour in zip(landmarks[index], _LANDMARK_COLOURS, strict=True):
                cv2.circle(canvas, _point(x, y), line, point_colour, cv2.FILLED, cv2.LINE_AA)
        if scores is not None:
            _write(canvas, f"{scores[index]:.2f}", _point(x1, y1), colour)
    return canvas


def contact_sheet(
    images: Sequence[np.ndarray], columns: int = 4, tile: int = 320, gap: int = 4
) -> np.ndarray:
    """Put images on one sheet, row by row, each scaled to fit a square.

    Args:
        images: at least one [H, W, 3] uint8, BGR, of any size.
        columns: tiles per row.
        tile: side of a tile, pixels.
        gap: space around tiles, pixels.

    Returns:
        The sheet, uint8 BGR.

    Raises:
        ValueError: if there is no image, or columns or tile is below 1.
    """
    if not images:
        raise ValueError("expected at least one image for a contact sheet, got none")
    if columns < 1 or tile < 1:
        raise ValueError(f"expected columns and tile of at least 1, got {columns=}, {tile=}")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    shape = (rows * (tile + gap) + gap, columns * (tile + gap) + gap, 3)
    sheet = np.full(shape, _SHEET_BACKGROUND, dtype=np.uint8)
    for index, image in enumerate(images):
        small, _ = fit_long_side(image, tile)
        height, width = small.shape[:2]
        row, column = divmod(index, columns)
        top = gap + row * (tile + gap) + (tile - height) // 2
        left = gap + column * (tile + gap) + (tile - width) // 2
        sheet[top : top + height, left : left + width] = small
    return sheet


def _point(x: float, y: float) -> tuple[int, int]:
    return round(float(x)), round(float(y))


def _write(
    canvas: np.ndarray, text: str, corner: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    """Write text above a box corner, or inside the image where there is no room above."""
    height, width = canvas.shape[:2]
    scale = max(0.35, max(height, width) / 2000)
    (text_width, text_height), baseline = cv2.getTextSize(
        text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness=1
    )
    x = int(np.clip(corner[0], 0, max(0, width - text_width)))
    y = int(np.clip(corner[1] - baseline, text_height, max(text_height, height - baseline)))
    # A dark plate: coloured text on a photograph is unreadable half of the time.
    cv2.rectangle(
        canvas, (x, y - text_height - 1), (x + text_width, y + baseline), (0, 0, 0), cv2.FILLED
    )
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
