"""Neck, shoulders, clothes and legs below a head."""

from __future__ import annotations

import numpy as np

from src.data.synthetic.canvas import Canvas, ellipse_points, xy
from src.data.synthetic.colors import Color, cloth_color, tint
from src.data.synthetic.head import Head
from src.data.synthetic.motifs import draw_smiley


def draw_body(
    canvas: Canvas, rng: np.random.Generator, head: Head, skin: Color, body: float
) -> None:
    """Draw neck and body.

    Args:
        canvas: drawn on.
        rng: decides the clothes.
        head: what the body hangs from.
        skin: its colour.
        body: length of the body below the chin, in face heights.
    """
    unit, half_roll = head.scale, np.deg2rad(head.roll) / 2
    base = head.center + 1.45 * unit * np.array([-np.sin(half_roll), np.cos(half_roll)])
    cloth, wide = cloth_color(rng), rng.uniform(0.85, 1.15)
    end = max(2 * body - 0.4, 0.8)

    def at(*pairs: tuple[float, float]) -> np.ndarray:
        return base + xy(*pairs) * (wide * unit, unit)

    neck = head.on(xy((-0.4, 0.45), (0.4, 0.45)), -0.6)
    canvas.fill(np.concatenate([neck, at((0.5, 0.25), (-0.5, 0.25))]), tint(skin, 0.8))
    left = [(-0.42, -0.22), (-0.8, -0.02), (-1.25, 0.14), (-1.55, 0.42), (-1.7, 1.0), (-1.8, 2.6)]
    hem = min(end, 4.4)
    outline = [p for p in left if p[1] < hem] + [(-1.7, hem)]
    torso = at(*outline, *[(-px, py) for px, py in reversed(outline)])
    canvas.fill(torso, cloth)
    kind = rng.integers(7)
    ink = cloth_color(rng)
    if kind == 0:  # stripes
        step = rng.uniform(0.15, 0.4)
        for offset in np.arange(0.5, min(end, 4.0), step):
            canvas.line(at((-1.4, offset), (1.4, offset)), ink, step * unit * 0.4)
    elif kind == 1:  # jacket, shirt and tie
        canvas.fill(at((-0.4, -0.1), (0.4, -0.1), (0.0, 1.6)), (235, 235, 235))
        canvas.fill(at((-0.1, 0.1), (0.1, 0.1), (0.14, 1.1), (0.0, 1.3), (-0.14, 1.1)), ink)
    elif kind == 2:  # print on the shirt; sometimes a smiley, which is not a face
        spot = at((0.0, 1.15))[0]
        canvas.ellipse(spot, (0.42 * unit, 0.42 * unit), ink)
        if rng.random() < 0.6:
            draw_smiley(canvas, spot, 0.42 * unit, tint(ink, 0.2))
    elif kind == 3:  # arms
        for side in (-1, 1):
            canvas.line(at((side * 1.25, 0.7), (side * 1.1, end)), tint(cloth, 0.6), 0.06 * unit)
    collar = ellipse_points(at((0.0, -0.02))[0], (0.5 * wide * unit, rng.uniform(0.2, 0.55) * unit))
    if kind != 1:
        canvas.fill(collar, tint(skin, 0.88))
    if end > 4.5:  # legs
        canvas.fill(at((-1.25, 4.2), (1.25, 4.2), (1.1, end), (-1.1, end)), ink)
        canvas.line(at((0, 5.0), (0, end)), tint(ink, 0.4), 0.12 * unit)
        for side in (-1, 1):
            canvas.ellipse(at((side * 1.45, 4.5))[0], (0.22 * unit, 0.3 * unit), skin)
    for side in (-1, 1):
        canvas.shade(at((side * 1.9, 0.2), (side * 1.25, 0.6), (side * 1.3, hem)), 0.72)
    jaw_shadow = head.on(xy((-0.5, 0.75), (0.5, 0.75)), -0.4)
    canvas.shade(np.concatenate([jaw_shadow, at((0.4, 0.1), (-0.4, 0.1))]), 0.66)
    canvas.apply_shade(0.1 * unit)
