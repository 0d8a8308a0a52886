"""Compose one image (background, people, look-alikes, occluders, light, camera) and label it.

All randomness of an image comes from one generator, so an image depends on nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from src.synthetic.background import draw_background
from src.synthetic.camera import Light, take_picture
from src.synthetic.canvas import Figure, paste
from src.synthetic.layout import plan_people, scaled_height
from src.synthetic.objects import draw_bars, draw_distractor, draw_occluder
from src.synthetic.person import draw_person

SCENES = ("Crowd", "Group", "Portrait", "Street", "Empty")
"""Kinds of scene; the position is the event number."""


class Scene(NamedTuple):
    """One image with what is known about each of its N faces."""

    image: np.ndarray
    """[H, W, 3] uint8, BGR."""
    boxes_xywh: np.ndarray
    """[N, 4] float64, pixels, inside the image, two decimals."""
    landmarks: np.ndarray
    """[N, 5, 2] float64, pixels, two decimals; zeros where ``has_landmarks`` is False."""
    has_landmarks: np.ndarray
    """[N] bool."""
    invalid: np.ndarray
    """[N] bool: too hidden, cut off or blurred to count."""
    difficulty: np.ndarray
    """[N] int: 0 easy, 1 medium, 2 hard, 3 none of them."""


class Placed(NamedTuple):
    """A face that was drawn, before it is known what hides it."""

    figure: Figure
    pixels: int
    """Pixels of the face when it was drawn, inside the image."""
    blur: float
    """Defocus relative to the height of the face."""


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
        figure = draw_person(rng, plan, (width, height), light)
        pixels = paste(image, owner, figure, len(placed) + 1)
        if not plan.is_back and pixels:
            placed.append(Placed(figure, pixels, plan.blur))
            if rng.random() < 0.09 and plan.height > 14:
                paste(image, owner, draw_occluder(rng, figure, (width, height)), 0)
    if rng.random() < 0.035:
        draw_bars(rng, image, owner)
    image, softness = take_picture(rng, image, light)
    return _label_faces(rng, image, owner, placed, softness, size)


def _label_faces(
    rng: np.random.Generator,
    image: np.ndarray,
    owner: np.ndarray,
    placed: list[Placed],
    softness: float,
    size: int,
) -> Scene:
    """Decide what is labelled and how hard it is, as annotators of photographs would.

    Args:
        rng: decides which faces get landmarks.
        image: [H, W, 3] uint8, BGR, the finished image.
        owner: [H, W] int32, which face a pixel shows: 1 for the first of ``placed``, 0 for none.
        placed: the faces that were drawn.
        softness: standard deviation of the camera's blur, pixels.
        size: longest side, pixels.

    Returns:
        The image and its labelled faces, in the order of ``placed``.
    """
    height, width = owner.shape
    left = np.bincount(owner.ravel(), minlength=len(placed) + 1)
    limits = [scaled_height(value, size) for value in (50, 30, 10, 16)]
    rows = []
    for number, face in enumerate(placed, 1):
        figure = face.figure
        whole = np.ptp(figure.region, axis=0)
        low = np.clip(figure.region.min(0), 0, (width, height))
        cut = np.clip(figure.region.max(0), 0, (width, height)) - low
        box = np.round(np.concatenate([low, cut]), 2)
        seen, tall = float(np.prod(cut) / np.prod(whole)), float(whole[1])
        free = left[number] / face.pixels
        shown = free * seen
        if shown < 0.2 or min(box[2:]) < 3:
            continue  # nobody would label what is hardly there
        clear = shown * (1 - figure.covered)
        blur = float(np.hypot(face.blur, softness / tall))
        invalid = shown < 0.4 or seen < 0.5 or blur > 0.13
        grade = 3
        if not invalid:
            if tall >= limits[0] and clear >= 0.75 and blur < 0.025:
                grade = 0
            elif tall >= limits[1] and clear >= 0.5 and blur < 0.06:
                grade = 1
            elif box[3] >= limits[2]:
                grade = 2
        share = 0.97 if tall >= 16 else (0.15 if tall >= 12 else 0.02)
        inside = (figure.landmarks >= 0).all() and (figure.landmarks <= (width, height)).all()
        has = bool(rng.random() < share and inside and clear > 0.45 and blur < 0.1)
        marks = np.round(figure.landmarks, 2) if has else np.zeros((5, 2))
        rows.append((box, marks, has, invalid, grade))
    num = len(rows)
    return Scene(
        image,
        np.array([row[0] for row in rows], float).reshape(num, 4),
        np.array([row[1] for row in rows], float).reshape(num, 5, 2),
        np.array([row[2] for row in rows], bool),
        np.array([row[3] for row in rows], bool),
        np.array([row[4] for row in rows], int),
    )
