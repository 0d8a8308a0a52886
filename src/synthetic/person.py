"""Draw one person: body, hair, face and what covers it, in the order they hide each other."""

from __future__ import annotations

import numpy as np

from src.synthetic.camera import Light
from src.synthetic.canvas import (
    Canvas,
    Color,
    Figure,
    cloth_color,
    ellipse_points,
    hair_color,
    skin_color,
    tint,
    xy,
)
from src.synthetic.face import draw_ears, draw_face
from src.synthetic.hair import HAIR_STYLES, draw_back_hair, draw_front_hair, draw_worn
from src.synthetic.head import Head
from src.synthetic.layout import Plan
from src.synthetic.objects import draw_hand, draw_smiley


def draw_person(
    rng: np.random.Generator, plan: Plan, frame: tuple[int, int], light: Light
) -> Figure:
    """Draw one person.

    Args:
        rng: decides looks, pose, clothes and what covers the face.
        plan: where the person stands, and how large.
        frame: width and height of the image, pixels; nothing is drawn outside.
        light: the light of the scene.

    Returns:
        The patch with outline and landmarks of the face; no outline from behind.
    """
    height, unit = plan.height, plan.height / 2
    blur = plan.blur * height
    zoom = int(np.ceil((44 if height < 12 else 60) / height)) if height < 56 else 1 + (height < 80)
    head = Head(rng, np.array([plan.x, plan.y], float), height)
    reach = 2.7 * unit
    low = plan.y + unit * (2 + 2 * plan.body)
    box = (plan.x - reach, plan.y - 2.4 * unit, plan.x + reach, low)
    canvas = Canvas(box, frame, zoom)
    skin, hair = skin_color(rng), hair_color(rng)
    cover = cloth_color(rng) if rng.random() < 0.06 else None  # a headscarf
    style = "long" if cover else str(rng.choice(HAIR_STYLES))
    draw_body(canvas, rng, head, skin, plan.body)
    draw_back_hair(canvas, rng, head, cover or hair, style, skin)
    draw_ears(canvas, head, skin)
    if plan.is_back:
        canvas.fill(head.hull(-1.42, 0.75, 1.06, 1.0), tint(skin, 0.9) if style == "bald" else hair)
        canvas.apply_shade(0, _light_field(canvas, head, light))
        return Figure(canvas.result(blur), canvas.corner)
    landmarks = draw_face(canvas, rng, head, skin, hair, light)
    draw_front_hair(canvas, rng, head, cover or hair, "scarf" if cover else style)
    covered = draw_worn(canvas, rng, head)
    canvas.apply_shade(0, _light_field(canvas, head, light))
    if rng.random() < 0.06:
        covered = max(covered, 0.3)
        draw_hand(canvas, rng, skin, head.on(xy((rng.uniform(-0.5, 0.5), 0.65)))[0], unit)
    # A little below the hairline, as annotators draw it: hair covers the rest of the forehead.
    region = head.hull(-0.87, 1.0)
    return Figure(canvas.result(blur), canvas.corner, region, landmarks, covered, head.yaw)


def _light_field(canvas: Canvas, head: Head, light: Light) -> np.ndarray:
    """Lambert shading of a ball around the head, as a coarse map over the patch."""
    height, width = (np.array(canvas.pixels.shape[:2]) / canvas.zoom).tolist()
    x = (np.linspace(0, width, 32) + canvas.corner[0] - head.center[0]) / (1.15 * head.scale)
    y = (np.linspace(0, height, 40) + canvas.corner[1] - head.center[1]) / (1.5 * head.scale)
    grid_x, grid_y = np.meshgrid(np.clip(x, -1, 1), np.clip(y, -1, 1))
    front = np.sqrt(np.clip(1 - (grid_x**2 + grid_y**2) * 0.8, 0.05, 1))
    lit = grid_x * light.x + grid_y * light.y + front * 0.7 - 0.45
    return np.clip(0.97 + light.contrast * 0.75 * lit, 0.2, 1.5)


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
