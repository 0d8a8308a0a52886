"""Small drawings that several things are made of: a hand, a smiley."""

from __future__ import annotations

import numpy as np

from src.data.synthetic.canvas import Canvas
from src.data.synthetic.colors import Color, tint


def draw_hand(
    canvas: Canvas, rng: np.random.Generator, skin: Color, spot: np.ndarray, unit: float
) -> None:
    """A hand with spread or closed fingers, the palm at ``spot``; ``unit`` half a face height."""
    turn = rng.uniform(-0.9, 0.9)
    up = np.array([np.sin(turn), -np.cos(turn)])
    right = np.array([np.cos(turn), np.sin(turn)])
    palm = spot + (0.25 * unit) * -up
    canvas.line(np.stack([palm, palm - up * unit * 1.6]), tint(skin, 0.85), 0.42 * unit)
    canvas.ellipse(palm, (0.33 * unit, 0.36 * unit), tint(skin, 0.95))
    spread = rng.uniform(0.1, 0.5)
    for finger in range(4):
        lean = (finger - 1.5) * spread * 0.5
        root = palm + right * (finger - 1.5) * 0.17 * unit + up * 0.2 * unit
        tip = root + (up + right * lean) * unit * (0.5 if finger in (0, 3) else 0.6)
        canvas.line(np.stack([root, tip]), tint(skin, 0.7), 0.2 * unit)
        canvas.line(np.stack([root, tip]), tint(skin, 1.0), 0.15 * unit)


def draw_smiley(canvas: Canvas, spot: np.ndarray, radius: float, ink: Color) -> None:
    """Two dots and an arc."""
    for side in (-1, 1):
        canvas.ellipse(
            spot + np.array([side * 0.35, -0.25]) * radius, (0.11 * radius, 0.16 * radius), ink
        )
    angle = np.linspace(0.15 * np.pi, 0.85 * np.pi, 9)
    arc = np.stack([np.cos(angle), np.sin(angle)], 1) * 0.6 * radius + spot
    canvas.line(arc, ink, 0.1 * radius)
