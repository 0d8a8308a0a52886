"""Colours of skin, hair and cloth, and the arithmetic on them."""

from __future__ import annotations

import cv2
import numpy as np

Color = tuple[float, float, float]
"""Blue, green, red, 0 to 255."""

_SKIN_RGB = [
    (236, 204, 180), (230, 190, 158), (224, 180, 144), (222, 170, 128), (205, 150, 110),
    (180, 122, 84), (150, 96, 64), (118, 74, 50), (88, 56, 40),
]  # fmt: skip
_HAIR_RGB = [
    (22, 19, 18), (35, 26, 22), (58, 38, 26), (92, 60, 36), (140, 96, 54), (196, 158, 98),
    (128, 62, 34), (120, 118, 116), (200, 198, 194),
]  # fmt: skip


def skin_color(rng: np.random.Generator) -> Color:
    """A random skin tone."""
    position = rng.uniform(0, len(_SKIN_RGB) - 1.001)
    low = int(position)
    rgb = np.array(_SKIN_RGB[low]) + (position - low) * (
        np.array(_SKIN_RGB[low + 1]) - _SKIN_RGB[low]
    )
    rgb = np.clip(rgb + rng.normal(0, 5, 3), 20, 255)
    return (rgb[2], rgb[1], rgb[0])


def cloth_color(rng: np.random.Generator) -> Color:
    """A random colour as clothes have it: mostly muted, sometimes strong, sometimes skin-like."""
    if rng.random() < 0.1:
        return skin_color(rng)
    hue, saturation = rng.uniform(0, 180), rng.uniform(0, 1) ** 1.5 * 230
    value = rng.uniform(25, 245)
    pixel = cv2.cvtColor(np.array([[[hue, saturation, value]]], np.uint8), cv2.COLOR_HSV2BGR)
    return (float(pixel[0, 0, 0]), float(pixel[0, 0, 1]), float(pixel[0, 0, 2]))


def hair_color(rng: np.random.Generator) -> Color:
    """A random colour of hair: mostly natural, seldom dyed."""
    rgb = np.clip(np.array(_HAIR_RGB[rng.integers(len(_HAIR_RGB))]) * rng.uniform(0.8, 1.2), 0, 255)
    return cloth_color(rng) if rng.random() < 0.03 else (rgb[2], rgb[1], rgb[0])


def tint(color: Color, factor: float, add: float = 0.0) -> Color:
    """The colour multiplied by ``factor`` plus ``add``, kept in range."""
    blue, green, red = (min(max(value * factor + add, 0.0), 255.0) for value in color)
    return (blue, green, red)


def mix(first: Color, second: Color, share: float) -> Color:
    """The first colour with ``share`` of the second in it."""
    blue, green, red = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return (blue, green, red)
