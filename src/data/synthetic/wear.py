"""What a face wears: glasses, a mask, a hat."""

from __future__ import annotations

import numpy as np

from src.data.synthetic.canvas import Canvas, ellipse_points, xy
from src.data.synthetic.colors import cloth_color, tint
from src.data.synthetic.head import Head


def draw_worn(canvas: Canvas, rng: np.random.Generator, head: Head) -> float:
    """Perhaps glasses, a mask, a hat; returns the share of the face that they cover."""
    covered, choice = 0.0, rng.random()
    if choice < 0.17:
        is_dark = choice < 0.07
        _draw_glasses(canvas, rng, head, is_dark)
        covered = 0.22 if is_dark else 0.0
    if rng.random() < 0.05:
        _draw_mask(canvas, rng, head)
        covered = 0.45
    if rng.random() < 0.13:
        _draw_hat(canvas, rng, head)
    return covered


def _draw_glasses(canvas: Canvas, rng: np.random.Generator, head: Head, is_dark: bool) -> None:
    rim, width = tint(cloth_color(rng), 0.45), 0.035 * head.scale
    for side in (-1, 1):
        lens = ellipse_points(np.array([side * 0.31, -0.12]), (0.24, 0.17), 20)
        if head.faces_viewer(side * 0.31, -0.12) > 0.1:
            canvas.fill(head.on(lens, 0.09), (25, 22, 20), 0.95 if is_dark else 0.12)
            canvas.line(head.on(lens, 0.09), rim, width, closed=True)
        if head.faces_viewer(side * 0.7, -0.12) > 0:
            temple = xy((side * 0.54, -0.15), (side * 0.76, -0.14))
            canvas.line(head.on(temple, 0.04), rim, width)
    canvas.line(head.on(xy((-0.07, -0.14), (0.07, -0.14)), 0.14), rim, width)


def _draw_mask(canvas: Canvas, rng: np.random.Generator, head: Head) -> None:
    cloth = (215, 200, 160) if rng.random() < 0.6 else cloth_color(rng)
    right = [(0.3, 0.1), (0.68, 0.22), (0.66, 0.5), (0.5, 0.85), (0.2, 1.04)]
    mask = np.array([(0.0, 0.06), *right, *[(-px, py) for px, py in right[::-1]]])
    canvas.fill(head.on(mask, 0.12), cloth)
    for y in (0.35, 0.55, 0.75):
        crease = xy((-0.5, y), (0.0, y + 0.02), (0.5, y))
        canvas.line(head.on(crease, 0.13), tint(cloth, 0.82), 0.025 * head.scale)


def _draw_hat(canvas: Canvas, rng: np.random.Generator, head: Head) -> None:
    color, unit = cloth_color(rng), head.scale
    canvas.fill(head.hull(-1.42, -0.72, rng.uniform(1.1, 1.2), 1.0), color)
    band = np.stack(
        [np.linspace(-0.74, 0.74, 9), -0.74 + 0.08 * np.cos(np.linspace(-1.5, 1.5, 9))], 1
    )
    canvas.line(head.on(band, 0.1), tint(color, 0.6), 0.14 * unit)
    if rng.random() < 0.6:  # the peak of a cap, or the brim of a hat all round
        wide = rng.choice([0.62, 1.15])
        angle = np.linspace(0, 2 * np.pi if wide > 1 else np.pi, 20)
        brim = np.stack(
            [np.cos(angle) * wide, np.full(20, -0.76), np.sin(angle) * (wide + 0.25)], 1
        )
        brim[:, 2] += 0.15 if wide < 1 else 0.0
        canvas.fill(head.space(brim), tint(color, 0.75))
