"""What is not a person: hands and smileys, look-alikes of faces, things in front of faces."""

from __future__ import annotations

import cv2
import numpy as np

from src.synthetic.camera import Light
from src.synthetic.canvas import (
    Canvas,
    Color,
    Figure,
    cloth_color,
    ellipse_points,
    skin_color,
    tint,
)
from src.synthetic.layout import scaled_height


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
    return Figure(canvas.result(blur), canvas.corner)


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
    return Figure(canvas.result(), canvas.corner)


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
