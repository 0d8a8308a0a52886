"""Compose one labelled image: background, people, look-alikes, occluders, light and camera.

All randomness of an image comes from one generator, so an image depends on nothing else.
"""

from __future__ import annotations

import numpy as np

from src.data.synthetic.background import draw_background
from src.data.synthetic.camera import take_picture
from src.data.synthetic.distractors import draw_distractor
from src.data.synthetic.figure import Light, paste, share_inside
from src.data.synthetic.labels import Placed, Scene, label_faces
from src.data.synthetic.layout import plan_people
from src.data.synthetic.occlusion import draw_bars, draw_occluder
from src.data.synthetic.person import draw_person

SCENES = ("Crowd", "Group", "Portrait", "Street", "Empty")
"""Kinds of scene; the position is the event number."""


def draw_scene(rng: np.random.Generator, kind: str, size: int) -> Scene:
    """Draw one image.

    Args:
        rng: decides everything.
        kind: one of ``SCENES``.
        size: longest side, pixels.

    Returns:
        The image and its faces, in drawing order (far to near).
    """
    aspect = float(rng.choice([1.0, 0.75, 0.667, 0.8], p=[0.35, 0.3, 0.2, 0.15]))
    width, height = size, round(size * aspect)
    if aspect == 0.8:
        width, height = height, width
    light = Light(rng.uniform(-1, 1), rng.uniform(-0.9, 0.2), rng.uniform(0.1, 0.85))
    image = draw_background(rng, width, height)
    owner = np.zeros((height, width), np.int32)  # which face a pixel shows, from 1; 0 none
    plans = plan_people(rng, kind, width, height, size)
    for _ in range(rng.poisson(5 if kind == "Empty" else 1.6) + (kind == "Empty")):
        paste(image, owner, draw_distractor(rng, width, height, size, light), 0)
    placed: list[Placed] = []
    for plan in plans:
        figure = draw_person(
            rng,
            (plan.x, plan.y),
            height=plan.height,
            frame=(width, height),
            light=light,
            body=plan.body,
            blur=plan.blur * plan.height,
            is_back=plan.is_back,
        )
        pixels = paste(image, owner, figure, len(placed) + 1)
        if not plan.is_back and pixels:
            inside = share_inside(figure.region, width, height)
            placed.append(Placed(figure, pixels, inside, plan.blur))
            if rng.random() < 0.09 and plan.height > 14:
                paste(image, owner, draw_occluder(rng, figure, (width, height)), 0)
    if rng.random() < 0.035:
        draw_bars(rng, image, owner)
    image, softness = take_picture(rng, image, light)
    return label_faces(rng, image, owner, placed, softness, size)
