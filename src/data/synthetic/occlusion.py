"""Things in front of faces: held objects, leaves, railings."""

from __future__ import annotations

import cv2
import numpy as np

from src.data.synthetic.canvas import Canvas, ellipse_points
from src.data.synthetic.colors import cloth_color, skin_color, tint
from src.data.synthetic.figure import Figure
from src.data.synthetic.motifs import draw_hand


def draw_occluder(rng: np.random.Generator, figure: Figure, frame: tuple[int, int]) -> Figure:
    """A thing in front of part of a face: paper, telephone, cup, microphone, hand, branch."""
    low, high = figure.region.min(0), figure.region.max(0)
    unit = float(high[1] - low[1]) / 2
    angle = rng.uniform(0.1, 2 * np.pi)
    spot = (low + high) / 2 + np.array([np.cos(angle) * 0.75, np.sin(angle) * 0.9]) * unit
    box = (spot[0] - 2 * unit, spot[1] - 2 * unit, spot[0] + 2 * unit, spot[1] + 3 * unit)
    canvas = Canvas(box, frame, 1 if unit > 30 else int(np.ceil(30 / unit)))
    color, kind = cloth_color(rng), int(rng.integers(4))
    if kind == 0:  # sheet or telephone
        turn, wide, tall = rng.uniform(-0.5, 0.5), rng.uniform(0.3, 0.9), rng.uniform(0.5, 0.9)
        corners = np.array([(-wide, -tall), (wide, -tall), (wide, tall), (-wide, tall)]) * unit
        spin = np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
        canvas.fill(corners @ spin + spot, color)
        canvas.fill(corners @ spin * 0.8 + spot, tint(color, rng.uniform(0.4, 1.3)))
    elif kind == 1:  # microphone or lollipop
        canvas.line(
            np.stack([spot, spot + np.array([0.3, 2.5]) * unit]), tint(color, 0.4), 0.16 * unit
        )
        canvas.ellipse(spot, (0.36 * unit, 0.4 * unit), tint(color, 0.6))
    elif kind == 2:
        draw_hand(canvas, rng, skin_color(rng), spot, unit)
    else:  # leaves
        for offset in rng.normal(0, 0.5, (9, 2)):
            leaf = ellipse_points(spot + offset * unit, (0.4 * unit, 0.16 * unit), 10)
            canvas.fill(leaf, (40, rng.uniform(60, 150), 60))
    return Figure(canvas.result(), canvas.corner, np.zeros((0, 2)), np.zeros((5, 2)), 0.0, 0.0)


def draw_bars(rng: np.random.Generator, image: np.ndarray, owner: np.ndarray) -> None:
    """A railing or a net in front of everything."""
    height, width = owner.shape
    wide = max(int(rng.uniform(0.006, 0.025) * width), 1)
    step, color = wide * rng.uniform(4, 9), tint(cloth_color(rng), 0.6)
    slope = float(rng.choice([0.0, rng.uniform(-0.6, 0.6)]))
    for x in np.arange(-height, width + height, step):
        ends = [np.array([(x, 0), (x + slope * height, height)]).astype(np.int32)]
        cv2.polylines(image, ends, False, color, wide, cv2.LINE_AA)
        cv2.polylines(owner, ends, False, 0, wide)
