"""What is behind everybody: a gradient with textures of walls, houses, leaves and lights."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from src.synthetic.canvas import cloth_color, tint


def draw_background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A random background [height, width, 3] uint8, BGR."""
    image = _gradient(rng, width, height)
    textures: tuple[Callable[..., None], ...] = (
        _texture_stripes, _texture_bricks, _texture_foliage, _texture_windows,
        _texture_shapes, _texture_bokeh, _texture_room,
    )  # fmt: skip
    for index in rng.permutation(len(textures))[: rng.integers(0, 4)]:
        textures[index](rng, image)
    strength = rng.uniform(0.05, 0.4)
    cells = [int(rng.integers(3, 9)), int(rng.integers(20, 60)), max(width // 3, 2)]
    for count, share in zip(cells, (0.5, 0.3, 0.2), strict=True):
        factor = cv2.convertScaleAbs(
            _noise(rng, width, height, count),
            alpha=strength * share,
            beta=128 * (1 - strength * share),
        )
        image = cv2.multiply(image, cv2.merge([factor] * 3), scale=1 / 128)
    if rng.random() < 0.35:  # a shallow depth of field
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.005, 0.012) * width)
    return image


def _noise(rng: np.random.Generator, width: int, height: int, cells: int) -> np.ndarray:
    """Smooth noise [height, width] uint8 with about ``cells`` bumps across."""
    rows = max(2, round(cells * height / width))
    small = rng.integers(0, 256, (rows, cells), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _gradient(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    corners = np.array([cloth_color(rng) for _ in range(2)])[[0, 0, 1, 1]]
    corners = corners * rng.uniform(0.7, 1.1) + rng.normal(0, 12, (4, 3))
    small = np.clip(corners, 0, 255).reshape(2, 2, 3).astype(np.float32)
    image = cv2.resize(small, (width, height)).astype(np.uint8)
    if rng.random() < 0.5:  # ground, floor or table
        line = int(rng.uniform(0.35, 0.8) * height)
        image[line:] = np.clip(np.array(cloth_color(rng)) * 0.8 + rng.normal(0, 8, 3), 0, 255)
    return image


def _texture_stripes(rng: np.random.Generator, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    color, step = cloth_color(rng), rng.uniform(0.012, 0.09) * width
    slope = rng.uniform(-1.2, 1.2)
    for x in np.arange(-height, width + height, step):
        ends = np.array([(x, 0), (x + slope * height, height)]) * 16
        cv2.polylines(image, [ends.astype(np.int32)], False, color, max(int(step * 0.35), 1), 8, 4)


def _texture_bricks(rng: np.random.Generator, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    color, tall = cloth_color(rng), max(int(rng.uniform(0.015, 0.06) * width), 3)
    joint, low = max(tall // 8, 1), int(rng.uniform(0.4, 1.0) * height)
    for row, y in enumerate(range(0, low, tall)):
        for x in range(-(row % 2) * tall, width, 2 * tall):
            shade = tint(color, rng.uniform(0.75, 1.1))
            cv2.rectangle(image, (x, y), (x + 2 * tall - joint, y + tall - joint), shade, -1)


def _texture_foliage(rng: np.random.Generator, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    green = (rng.uniform(10, 70), rng.uniform(60, 140), rng.uniform(30, 120))
    middle, spread = rng.uniform(0, 0.7) * height, rng.uniform(0.1, 0.25) * height
    radius = rng.uniform(0.008, 0.03) * width
    num = int(min(0.4 * width * spread / radius**2, 500))
    for x, y, size, value in zip(
        rng.uniform(0, width, num), rng.normal(middle, spread, num),
        rng.uniform(0.5, 1.6, num), rng.uniform(0.4, 1.6, num), strict=True,
    ):  # fmt: skip
        axes = (max(int(radius * size), 1), max(int(radius * size * 0.6), 1))
        cv2.ellipse(
            image, (int(x), int(y)), axes, int(x * 7) % 180, 0, 360, tint(green, value), -1, 8
        )


def _texture_windows(rng: np.random.Generator, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    left, right = sorted(rng.uniform(0, 1, 2) * width)
    top, wide = rng.uniform(0, 0.3) * height, max(rng.uniform(0.02, 0.07) * width, 4.0)
    wall, glass = cloth_color(rng), cloth_color(rng)
    cv2.rectangle(image, (int(left), int(top)), (int(right), height), wall, -1)
    for y in np.arange(top + wide * 0.5, height, wide * 1.9):
        for x in np.arange(left + wide * 0.4, right - wide, wide * 1.6):
            low = (int(x), int(y))
            high = (int(x + wide), int(y + wide * 1.2))
            cv2.rectangle(image, low, high, tint(glass, rng.uniform(0.4, 1.2)), -1)
            cv2.rectangle(image, low, high, tint(wall, 0.6), max(int(wide * 0.08), 1))


def _texture_shapes(rng: np.random.Generator, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(4, 25))):
        center, reach = rng.uniform(0, 1, 2) * (width, height), rng.uniform(0.02, 0.2) * width
        points = center + rng.normal(0, 1, (int(rng.integers(3, 7)), 2)) * reach
        hull = cv2.convexHull(points.astype(np.float32))
        cv2.fillPoly(image, [np.rint(hull * 16).astype(np.int32)], cloth_color(rng), 16, 4)


def _texture_bokeh(rng: np.random.Generator, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    layer = image.copy()
    for _ in range(int(rng.integers(8, 40))):
        spot = (int(rng.uniform(0, width)), int(rng.uniform(0, 0.8) * height))
        cv2.circle(
            layer, spot, max(int(rng.uniform(0.008, 0.05) * width), 1), cloth_color(rng), -1, 16
        )
    image[...] = cv2.addWeighted(layer, 0.6, image, 0.4, 0)


def _texture_room(rng: np.random.Generator, image: np.ndarray) -> None:
    """Frames, shelves and lamps on a wall."""
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(2, 7))):
        x, y = rng.uniform(-0.05, 0.9) * width, rng.uniform(-0.05, 0.7) * height
        wide, tall = rng.uniform(0.05, 0.3) * width, rng.uniform(0.05, 0.3) * height
        for inset in (0.0, 0.12, 0.3):
            low = (int(x + wide * inset), int(y + tall * inset))
            high = (int(x + wide * (1 - inset)), int(y + tall * (1 - inset)))
            cv2.rectangle(image, low, high, cloth_color(rng), -1)
