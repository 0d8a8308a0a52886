"""Draw one person: body, hair, face and what covers it, in the order they hide each other."""

from __future__ import annotations

import numpy as np

from src.data.synthetic.body import draw_body
from src.data.synthetic.canvas import Canvas, xy
from src.data.synthetic.colors import cloth_color, hair_color, skin_color, tint
from src.data.synthetic.face import draw_ears, draw_face
from src.data.synthetic.figure import Figure, Light
from src.data.synthetic.hair import HAIR_STYLES, draw_back_hair, draw_front_hair
from src.data.synthetic.head import Head
from src.data.synthetic.motifs import draw_hand
from src.data.synthetic.wear import draw_worn


def draw_person(
    rng: np.random.Generator,
    center: tuple[float, float],
    *,
    height: float,
    frame: tuple[int, int],
    light: Light,
    body: float = 2.0,
    blur: float = 0.0,
    is_back: bool = False,
) -> Figure:
    """Draw one person.

    Args:
        rng: decides looks, pose, clothes and what covers the face.
        center: x, y of the head, image pixels.
        height: hairline to chin when seen from the front, image pixels.
        frame: width and height of the image, pixels; nothing is drawn outside.
        light: the light of the scene.
        body: length of the body below the chin, in face heights.
        blur: standard deviation of the defocus, image pixels.
        is_back: show the back of the head, that is, no face.

    Returns:
        The patch with outline and landmarks of the face; no outline when ``is_back``.
    """
    zoom = int(np.ceil((44 if height < 12 else 60) / height)) if height < 56 else 1 + (height < 80)
    head = Head(rng, np.array(center, float), height)
    x, y, unit = center[0], center[1], height / 2
    reach = 2.7 * unit
    box = (x - reach, y - 2.4 * unit, x + reach, y + unit * (2 + 2 * body))
    canvas = Canvas(box, frame, zoom)
    skin, hair = skin_color(rng), hair_color(rng)
    cover = cloth_color(rng) if rng.random() < 0.06 else None  # a headscarf
    style = "long" if cover else str(rng.choice(HAIR_STYLES))
    draw_body(canvas, rng, head, skin, body)
    draw_back_hair(canvas, rng, head, cover or hair, style, skin)
    draw_ears(canvas, head, skin)
    region, covered = np.zeros((0, 2)), 0.0
    if is_back:
        canvas.fill(head.hull(-1.42, 0.75, 1.06, 1.0), tint(skin, 0.9) if style == "bald" else hair)
        landmarks = np.zeros((5, 2))
        canvas.apply_shade(0, _light_field(canvas, head, light))
    else:
        # A little below the hairline, as annotators draw it: hair covers the rest of the forehead.
        region = head.hull(-0.87, 1.0)
        landmarks = draw_face(canvas, rng, head, skin, hair, light)
        draw_front_hair(canvas, rng, head, cover or hair, "scarf" if cover else style)
        covered = draw_worn(canvas, rng, head)
        canvas.apply_shade(0, _light_field(canvas, head, light))
        if rng.random() < 0.06:
            covered = max(covered, 0.3)
            draw_hand(canvas, rng, skin, head.on(xy((rng.uniform(-0.5, 0.5), 0.65)))[0], unit)
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
