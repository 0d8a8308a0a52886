"""Hair and what is worn: headscarves, glasses, masks, hats."""

from __future__ import annotations

import numpy as np

from src.synthetic.canvas import Canvas, Color, cloth_color, ellipse_points, tint, xy
from src.synthetic.head import Head

HAIR_STYLES = ("bald", "buzz", "short", "short", "side", "fringe", "long", "bob", "afro", "bun")
"""To choose from; also known is "scarf", hair under a headscarf."""


def draw_back_hair(
    canvas: Canvas, rng: np.random.Generator, head: Head, color: Color, style: str, skin: Color
) -> None:
    """Everything of the hair that lies behind the face; skin where there is none."""
    unit = head.scale
    dark = tint(color, 0.8)
    if style in ("long", "bob"):
        # Hair hangs down whatever the head does: only its top follows the pose.
        drop = rng.uniform(1.1, 2.1) if style == "long" else rng.uniform(0.45, 0.8)
        top = head.space(np.array([[-0.8, -0.7, -0.2], [0.8, -0.7, -0.2]]))
        side = rng.uniform(0.85, 1.1)
        ring = xy(
            (side, drop * 0.3), (side * 1.05, drop * 0.75), (side * 0.85, drop), (0.3, drop * 1.04)
        )
        ends = np.concatenate([ring, ring[::-1] * (-1, 1)]) * head.scale
        lean = 0.35 * np.array([-np.sin(np.deg2rad(head.roll)) * drop * head.scale, 0.0])
        canvas.fill(np.concatenate([top, head.center + lean + ends]), dark)
    elif style == "afro":
        middle = head.space(np.array([[0.0, -0.55, -0.3]]))[0]
        ring = ellipse_points(np.zeros(2), (1.18 * unit, 1.15 * unit), 30)
        ring *= rng.uniform(0.95, 1.05, (30, 1))
        canvas.fill(ring + middle, dark)
    elif style == "bun":
        canvas.ellipse(
            head.space(np.array([[0.0, -1.5, -0.4]]))[0], (0.36 * unit, 0.34 * unit), dark
        )
    bald = style == "bald"
    grow = 1.0 if bald else rng.uniform(1.03, 1.12)
    canvas.fill(head.hull(-1.42, 0.35, grow, 1.05), skin if bald else dark)


def draw_front_hair(
    canvas: Canvas, rng: np.random.Generator, head: Head, color: Color, style: str
) -> None:
    """The hair, or the scarf, over the forehead and along the visible edge of the head."""
    if style == "bald":
        return
    low = {"buzz": -0.9, "fringe": -0.42, "scarf": -0.8}.get(
        style, float(rng.uniform(-0.98, -0.75))
    )
    side_low = {"long": 0.3, "bob": 0.35, "scarf": 0.75, "buzz": -0.2}.get(style, -0.12)
    part = rng.uniform(-0.35, 0.35) if style in ("side", "long") else 0.0
    x = np.array([0.77, 0.73, 0.68, 0.62, 0.45, 0.2, 0.0])
    y = np.array([side_low, -0.3, -0.5, low + 0.2, low + 0.06, low, low])
    if style == "scarf":
        x = np.array([0.3, 0.58, 0.66, 0.66, 0.5, 0.2, 0.0])
        y = np.array([0.98, 0.7, 0.2, -0.4, low + 0.1, low, low])
    line = np.concatenate([np.stack([-x, y], 1), np.stack([x, y], 1)[::-1]])
    line[3:-3, 1] += part * line[3:-3, 0] * 0.5
    line[:, 1] += rng.normal(0, 0.02, len(line))
    # From the hairline round the visible edge of the head, then over the crown.
    up = np.linspace(line[0, 1], -1.3, 6)
    edge = np.stack([np.full(6, 2.0), up], 1)
    outline = np.concatenate([line, edge, edge[::-1] * (-1, 1)])
    canvas.fill(head.on(outline, 0.04), color)
    for side in (-1, 1):
        canvas.line(head.on(edge * (side, 1), 0.02), color, 0.07 * head.scale)
    canvas.fill(head.hull(-1.42, min(low, -0.7) - 0.12, 1.05, 0.6), color)
    if canvas.zoom * head.scale > 40:  # strands, where they can be seen
        for start in rng.uniform(-0.7, 0.7, 14):
            strand = xy((start * 0.5, -1.38), (start * 0.9, -1.2), (start, low - 0.05))
            factor = rng.choice([0.75, 1.3])
            canvas.line(head.on(strand, 0.07), tint(color, factor, 3), 0.02 * head.scale)


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
