"""Things that resemble a face in one respect and are none: hard negatives."""

from __future__ import annotations

import numpy as np

from src.data.synthetic.canvas import Canvas, ellipse_points
from src.data.synthetic.colors import cloth_color, skin_color, tint
from src.data.synthetic.figure import Figure, Light
from src.data.synthetic.layout import scaled_height
from src.data.synthetic.motifs import draw_hand, draw_smiley


def draw_distractor(
    rng: np.random.Generator, width: int, height: int, size: int, light: Light
) -> Figure:
    """Something that resembles a face in one respect and is not labelled."""
    tall = scaled_height(float(np.exp(rng.uniform(np.log(8), np.log(220)))), size)
    spot, unit = rng.uniform(0, 1, 2) * (width, height), tall / 2
    box = (spot[0] - 2 * unit, spot[1] - 2 * unit, spot[0] + 2 * unit, spot[1] + 2 * unit)
    canvas = Canvas(box, (width, height), 1 if tall > 60 else int(np.ceil(60 / tall)))
    color = skin_color(rng) if rng.random() < 0.5 else cloth_color(rng)
    dark = tint(color, rng.uniform(0.2, 0.5))
    kind = int(rng.integers(10))
    flat = rng.uniform(0.7, 1.0)
    oval = ellipse_points(spot, (unit * flat, unit))
    blur = 0.0
    if kind == 0:  # ball
        canvas.ellipse(spot, (unit, unit), color)
        for bend in (-0.5, 0.4):
            angle = np.linspace(-1.2, 1.2, 12)
            seam = np.stack([np.sin(angle), bend * np.cos(angle)], 1) * unit * 0.9 + spot
            canvas.line(seam, dark, 0.06 * unit)
    elif kind == 1:  # clock
        canvas.ellipse(spot, (unit, unit), dark)
        canvas.ellipse(spot, (0.88 * unit, 0.88 * unit), (230, 232, 235))
        for hour in np.arange(12) * np.pi / 6:
            way = np.array([np.cos(hour), np.sin(hour)]) * unit
            canvas.line(np.stack([spot + way * 0.72, spot + way * 0.82]), (30, 30, 30), 0.06 * unit)
        for reach in (0.45, 0.68):
            turn = rng.uniform(0, 2 * np.pi)
            hand = spot + np.array([np.cos(turn), np.sin(turn)]) * unit * reach
            canvas.line(np.stack([spot, hand]), (30, 30, 30), 0.07 * unit)
    elif kind == 2:  # plain oval, skin or cloth coloured
        canvas.fill(oval, color)
    elif kind == 3:  # pair of dots, as of screws or lamps
        canvas.fill(spot + np.array([(-1, -0.6), (1, -0.6), (1, 0.6), (-1, 0.6)]) * unit, color)
        for side in (-0.45, 0.45):
            canvas.ellipse(spot + np.array([side, 0.0]) * unit, (0.22 * unit, 0.22 * unit), dark)
    elif kind == 4:  # smiley
        canvas.ellipse(spot, (unit, unit), (60, 210, 245) if rng.random() < 0.5 else color)
        draw_smiley(canvas, spot, unit, (30, 30, 30))
    elif kind == 5:  # carved mask: holes, and nothing of a face in them
        canvas.fill(oval, color)
        for side in (-0.4, 0.4):
            canvas.ellipse(
                spot + np.array([side * flat, -0.2]) * unit, (0.2 * unit, 0.1 * unit), (15, 15, 15)
            )
        canvas.ellipse(spot + np.array([0.0, 0.5]) * unit, (0.25 * unit, 0.1 * unit), (15, 15, 15))
    elif kind == 6:  # blurred blob
        canvas.fill(oval, skin_color(rng))
        blur = rng.uniform(0.15, 0.35) * unit
    elif kind == 7:  # electric socket
        canvas.fill(
            spot + np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * unit * 0.9, (225, 228, 230)
        )
        canvas.ellipse(spot, (0.7 * unit, 0.7 * unit), (200, 202, 205))
        for x, y in ((-0.3, -0.1), (0.3, -0.1), (0.0, 0.35)):
            canvas.ellipse(spot + np.array([x, y]) * unit, (0.1 * unit, 0.1 * unit), (40, 40, 40))
    elif kind == 8:  # head without a face, as of a shop window figure
        canvas.fill(
            spot + np.array([(-0.3, 0.5), (0.3, 0.5), (0.4, 1.6), (-0.4, 1.6)]) * unit, dark
        )
        canvas.fill(oval, color)
        canvas.fill(ellipse_points(spot - (0, 0.45 * unit), (0.75 * unit, 0.6 * unit)), dark)
    else:  # hand
        draw_hand(canvas, rng, skin_color(rng), spot, unit)
    shaded = np.linspace(1 - light.contrast * 0.5, 1 + light.contrast * 0.3, 8)
    canvas.apply_shade(0, np.tile(shaded[:: -1 if light.x < 0 else 1], (8, 1)))
    return Figure(canvas.result(blur), canvas.corner, np.zeros((0, 2)), np.zeros((5, 2)), 0.0, 0.0)
