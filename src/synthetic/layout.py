"""Who stands where, and how large, in each kind of scene.

Heights are chosen for a 640 pixel canvas and mapped by their position in the logarithmic range, so
a small canvas keeps the same mixture of small and large faces.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MIN_HEIGHT = 6.0
"""Smallest face, pixels."""
MAX_SHARE = 0.62
"""Largest face as a share of the canvas side."""


class Plan(NamedTuple):
    """A person to be drawn."""

    x: float
    """Middle of the head, pixels."""
    y: float
    """Middle of the head, pixels."""
    height: float
    """Hairline to chin when seen from the front, pixels."""
    body: float = 2.0
    """Length of the body below the chin, in face heights."""
    blur: float = 0.0
    """Defocus relative to the height of the face."""
    is_back: bool = False
    """Seen from behind: no face."""


def scaled_height(height: float, size: int) -> float:
    """A face height for a 640 pixel canvas, at the same place in the range of another canvas."""
    place = np.log(height / MIN_HEIGHT) / np.log(MAX_SHARE * 640 / MIN_HEIGHT)
    return float(MIN_HEIGHT * (MAX_SHARE * size / MIN_HEIGHT) ** place)


def plan_people(
    rng: np.random.Generator, kind: str, width: int, height: int, size: int
) -> list[Plan]:
    """Place the people of one image.

    Args:
        rng: decides everything.
        kind: one of ``scene.SCENES``; in ``Empty`` everybody is seen from behind.
        width: of the image, pixels.
        height: of the image, pixels.
        size: longest side, pixels.

    Returns:
        The people in drawing order, far to near.
    """
    plans: list[Plan] = []
    tallest = 0.85 * height

    def add(x: float, y: float, tall: float, body: float, blur: float, back: float) -> None:
        tall = min(max(tall, MIN_HEIGHT), tallest)
        y = max(y, rng.uniform(0.2, 0.8) * tall)  # few heads are cut off above
        for other in plans:  # heads overlap a little at most
            gap = 0.5 * (tall + other.height)
            if abs(x - other.x) < 0.62 * gap and abs(y - other.y) < 0.8 * gap:
                return
        plans.append(Plan(x, y, tall, body, blur, rng.random() < back))

    def blur_of(share: float, worst: float) -> float:
        return rng.uniform(0.02, worst) if rng.random() < share else 0.0

    if kind == "Crowd":
        far = scaled_height(float(np.exp(rng.uniform(np.log(6), np.log(16)))), size)
        near = far * float(np.exp(rng.uniform(np.log(1.3), np.log(5.5))))
        top, bottom = rng.uniform(0.08, 0.45) * height, rng.uniform(0.8, 1.0) * height
        hazy = rng.random() < 0.25
        for _ in range(int(np.exp(rng.uniform(np.log(22), np.log(125))))):
            t = rng.random()
            tall = far * (near / far) ** t * rng.uniform(0.85, 1.15)
            blur = blur_of(0.3, 0.12) if hazy else blur_of(0.06, 0.1)
            y = top + (bottom - top) * (0.85 * t + 0.15 * rng.random())
            add(rng.uniform(-0.01, 1.01) * width, y, tall, 3.5, blur, 0.12)
        if rng.random() < 0.25:  # someone in front of the crowd
            tall = scaled_height(rng.uniform(60, 200), size)
            add(rng.uniform(0.1, 0.9) * width, rng.uniform(0.5, 0.9) * height, tall, 3, 0, 0.2)
    elif kind == "Group":
        tall = scaled_height(float(np.exp(rng.uniform(np.log(32), np.log(210)))), size)
        tall = min(tall, 0.32 * height)
        middle = rng.uniform(0.3, 0.6) * height
        for row in range(int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2]))):
            x = rng.uniform(0.02, 0.2) * width
            y = middle + (row - 1) * tall * rng.uniform(1.5, 1.9)
            while x < 0.98 * width and len(plans) < 24:
                one = tall * rng.uniform(0.8, 1.15) * (1 + 0.06 * row)
                add(x, y + rng.normal(0, 0.2) * tall, one, 5.5, blur_of(0.08, 0.09), 0.04)
                x += tall * rng.uniform(1.05, 3.0)
    elif kind == "Portrait":
        for _ in range(int(rng.integers(1, 4))):
            tall = scaled_height(float(np.exp(rng.uniform(np.log(105), np.log(397)))), size)
            x, y = rng.uniform(0.15, 0.85) * width, rng.uniform(0.3, 0.65) * height
            add(x, y, tall, 3, blur_of(0.1, 0.06), 0.0)
        for _ in range(rng.poisson(0.8)):  # strangers out of focus behind
            tall = scaled_height(float(np.exp(rng.uniform(np.log(12), np.log(70)))), size)
            x, y = rng.uniform(0, 1) * width, rng.uniform(0.2, 0.7) * height
            add(x, y, tall, 5.5, rng.uniform(0.04, 0.16), 0.3)
    elif kind == "Street":
        horizon = rng.uniform(0.25, 0.5) * height
        for _ in range(int(rng.integers(2, 13))):
            tall = scaled_height(float(np.exp(rng.uniform(np.log(7), np.log(160)))), size)
            y = horizon + rng.uniform(-0.6, 1.2) * tall
            x = rng.uniform(-0.02, 1.02) * width
            add(x, y, tall, 6.5, blur_of(0.15, 0.12), 0.25)
    else:
        for _ in range(rng.poisson(0.8)):
            tall = scaled_height(rng.uniform(20, 120), size)
            add(rng.uniform(0, 1) * width, rng.uniform(0.3, 0.8) * height, tall, 6.5, 0, 1.0)
    return sorted(plans, key=lambda plan: (plan.height, plan.x))
