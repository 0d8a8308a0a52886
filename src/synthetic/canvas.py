"""What is drawn with: colours, polygons and lines on a transparent patch, patches over an image."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

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
    rgb = np.array(mix(_SKIN_RGB[low], _SKIN_RGB[low + 1], position - low))
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


class Canvas:
    """A patch drawn at ``zoom`` times the image resolution and averaged down at the end.

    Points are image pixels with the first pixel spanning 0 to 1, as in the labels. Drawing on
    transparent black with anti-aliasing gives colours multiplied by alpha without further work.

    Args:
        box: x1, y1, x2, y2 of the patch, image pixels; cut off a pixel outside the frame.
        frame: width and height of the image, pixels.
        zoom: canvas pixels per image pixel, along each axis.
    """

    def __init__(self, box: tuple[float, float, float, float], frame: tuple[int, int], zoom: int):
        x1, y1 = max(int(np.floor(box[0])), -1), max(int(np.floor(box[1])), -1)
        x2, y2 = min(int(np.ceil(box[2])), frame[0] + 1), min(int(np.ceil(box[3])), frame[1] + 1)
        self.corner, self.zoom = (x1, y1), zoom
        shape = (max(y2 - y1, 1) * zoom, max(x2 - x1, 1) * zoom, 4)
        self.pixels: np.ndarray = np.zeros(shape, np.uint8)
        self._shades: list[tuple[np.ndarray, float]] = []

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        # cv2 counts pixel centres, the labels count pixel edges: half a pixel apart.
        shifted = (np.asarray(points, float) - self.corner) * self.zoom - 0.5
        # Far outside the patch only the direction matters, and cv2 has 16 bits for it.
        return np.rint(np.maximum(np.minimum(shifted, 20000), -20000) * 16).astype(np.int32)

    def fill(self, points: np.ndarray, color: Color, opacity: float = 1.0) -> None:
        """Fill the polygon [M, 2]."""
        fixed = self._fixed(points)
        if opacity >= 1:
            cv2.fillPoly(self.pixels, [fixed], (*color, 255), cv2.LINE_AA, 4)
            return
        low = np.clip(fixed.min(0) // 16 - 2, 0, None)
        high = fixed.max(0) // 16 + 3
        part = self.pixels[low[1] : max(high[1], 0), low[0] : max(high[0], 0)]
        if part.size:
            drawn = part.copy()
            offset = (low * 16).astype(np.int32)
            cv2.fillPoly(drawn, [fixed - offset], (*color, 255), cv2.LINE_AA, 4)
            part[...] = cv2.addWeighted(drawn, opacity, part, 1 - opacity, 0)

    def line(self, points: np.ndarray, color: Color, width: float, closed: bool = False) -> None:
        """Draw a polyline [M, 2] that is ``width`` image pixels wide."""
        thick = max(round(width * self.zoom), 1)
        fixed = [self._fixed(points)]
        cv2.polylines(self.pixels, fixed, closed, (*color, 255), thick, cv2.LINE_AA, 4)

    def ellipse(self, center: np.ndarray, radii: tuple[float, float], color: Color) -> None:
        """Fill an upright ellipse."""
        self.fill(ellipse_points(center, radii), color)

    def shade(self, points: np.ndarray, factor: float) -> None:
        """Darken (below 1) or lighten (up to 1.9) a polygon; takes effect in ``apply_shade``."""
        self._shades.append((np.asarray(points, float), factor))

    def apply_shade(self, softness: float, field: np.ndarray | None = None) -> None:
        """Multiply in all ``shade`` calls, blurred by ``softness`` image pixels, and ``field``.

        Args:
            softness: standard deviation of the blur, image pixels.
            field: coarse [h, w] float map of factors stretched over the patch.
        """
        if self._shades:
            self._apply_soft(softness)
        if field is not None:
            height, width = self.pixels.shape[:2]
            wide = cv2.resize(field.astype(np.float32), (width, height))
            factor = np.clip(wide * 128, 0, 255).astype(np.uint8)
            self.pixels = _multiply(self.pixels, factor)

    def _apply_soft(self, softness: float) -> None:
        # A blurred mask needs no more than about a pixel per standard deviation.
        sigma = softness * self.zoom
        coarse = max(sigma / 1.3, 1.0)
        shapes = [self._fixed(points) / 16 for points, _ in self._shades]
        size = self.pixels.shape[1::-1]
        low = np.clip(np.min([p.min(0) for p in shapes], 0) - 3 * sigma, 0, size).astype(int)
        high = np.clip(np.max([p.max(0) for p in shapes], 0) + 3 * sigma + 1, 0, size).astype(int)
        if (high > low).all():
            width, height = (int(n) for n in np.ceil((high - low) / coarse))
            mask: np.ndarray = np.full((height, width), 128, np.uint8)
            for shape, (_, factor) in zip(shapes, self._shades, strict=True):
                fixed = np.rint((shape - low) / coarse * 16).astype(np.int32)
                cv2.fillPoly(mask, [fixed], factor * 128, cv2.LINE_AA, 4)
            mask = cv2.resize(_blur(mask, sigma / coarse), (high - low).tolist())
            part = self.pixels[low[1] : high[1], low[0] : high[0]]
            part[...] = _multiply(part, mask)
        self._shades = []

    def result(self, blur: float = 0.0) -> np.ndarray:
        """The patch at image resolution, blurred by ``blur`` image pixels."""
        if blur > 0.3:
            # Opaque where the frame cuts the patch: blur mirrors there, so no seam appears.
            self.pixels = _blur(self.pixels, blur * self.zoom)
        if self.zoom == 1:
            return self.pixels
        height, width = self.pixels.shape[:2]
        size = (width // self.zoom, height // self.zoom)
        return cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    # A wide blur of a smooth map is the same at a quarter of the size, and far cheaper.
    if sigma > 6:
        height, width = image.shape[:2]
        factor = int(sigma // 3)
        size = (max(width // factor, 1), max(height // factor, 1))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / factor), (width, height))
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.3 else image


def _multiply(pixels: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Colours times ``factor`` / 128; alpha stays."""
    full = np.full_like(factor, 128)
    return cv2.multiply(pixels, cv2.merge([factor, factor, factor, full]), scale=1 / 128)


def ellipse_points(center: np.ndarray, radii: tuple[float, float], num: int = 24) -> np.ndarray:
    """Points [num, 2] on an upright ellipse."""
    return _unit_circle(num) * radii + center


@lru_cache(maxsize=32)
def _unit_circle(num: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, num, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def xy(*pairs: tuple[float, float]) -> np.ndarray:
    """Points [M, 2] from their coordinates."""
    return np.array(pairs, float)


class Figure(NamedTuple):
    """A drawn patch, its place in the image, and the face that is on it."""

    patch: np.ndarray
    """[h, w, 4] uint8, BGRA, colours already multiplied by alpha."""
    corner: tuple[int, int]
    """x, y of the patch's first pixel in the image."""
    region: np.ndarray = np.zeros((0, 2))
    """[M, 2] float64, outline of the face (forehead to chin, ear to ear), image pixels; M = 0
    when the figure shows no face."""
    landmarks: np.ndarray = np.zeros((5, 2))
    """[5, 2] float64, image pixels."""
    covered: float = 0.0
    """Share of the face behind glasses, mask or hand, 0 to 1."""
    yaw: float = 0.0
    """Degrees, positive towards the right of the image."""


def paste(image: np.ndarray, owner: np.ndarray, figure: Figure, number: int) -> int:
    """Put a figure over an image.

    Args:
        image: [H, W, 3] uint8, BGR; changed.
        owner: [H, W] int32, which face a pixel shows, 0 for none; changed.
        figure: what is put there.
        number: of its face in ``owner``, from 1; any when it shows no face.

    Returns:
        How many pixels of its face are seen.
    """
    height, width = owner.shape
    x, y = figure.corner
    x1, y1 = max(x, 0), max(y, 0)
    x2, y2 = min(x + figure.patch.shape[1], width), min(y + figure.patch.shape[0], height)
    if x2 <= x1 or y2 <= y1:
        return 0
    patch = figure.patch[y1 - y : y2 - y, x1 - x : x2 - x]
    alpha = patch[..., 3]
    under = cv2.merge([255 - alpha] * 3)
    part = image[y1:y2, x1:x2]
    part[...] = cv2.add(patch[..., :3], cv2.multiply(part, under, scale=1 / 255))
    solid = alpha > 127
    owner[y1:y2, x1:x2][solid] = 0
    if not len(figure.region):
        return 0
    face = np.zeros(solid.shape, np.uint8)
    cv2.fillPoly(face, [np.rint((figure.region - (x1, y1)) * 16 - 8).astype(np.int32)], 1, shift=4)
    shown = (face > 0) & solid
    owner[y1:y2, x1:x2][shown] = number
    return int(shown.sum())
