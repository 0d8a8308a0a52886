"""Draw one person (head, hair, clothes, what the face wears) with labels known by construction.

The face is a curved surface in head coordinates: x to the right, y down, z towards the viewer,
hairline at y = -1, chin at y = 1. Features are given as frontal (x, y), lifted onto the surface,
rotated by yaw, pitch and roll and projected without perspective; the landmarks go the same way,
so they are right for every pose. Proportions are the usual drawing canon (the thirds hairline,
brow, nose base, chin; five eye widths across). Nothing is taken from any photograph.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

Color = tuple[float, float, float]
"""Blue, green, red, 0 to 255."""

# Outline of the head: y, half width and depth of the front at y.
_PROFILE = np.array([
    (-1.42, 0.02, 0.05), (-1.40, 0.20, 0.20), (-1.36, 0.34, 0.33), (-1.28, 0.48, 0.46),
    (-1.15, 0.60, 0.58), (-1.0, 0.675, 0.67), (-0.75, 0.735, 0.75), (-0.5, 0.765, 0.79),
    (-0.1, 0.775, 0.81), (0.3, 0.73, 0.81), (0.5, 0.675, 0.81), (0.65, 0.605, 0.82),
    (0.78, 0.51, 0.82), (0.88, 0.405, 0.8), (0.95, 0.30, 0.75), (1.0, 0.17, 0.68),
])  # fmt: skip
_PROFILE_Y, _HALF_WIDTH, _DEPTH = _PROFILE.T
_SKIN_RGB = [
    (236, 204, 180), (230, 190, 158), (224, 180, 144), (222, 170, 128), (205, 150, 110),
    (180, 122, 84), (150, 96, 64), (118, 74, 50), (88, 56, 40),
]  # fmt: skip
_HAIR_RGB = [
    (22, 19, 18), (35, 26, 22), (58, 38, 26), (92, 60, 36), (140, 96, 54), (196, 158, 98),
    (128, 62, 34), (120, 118, 116), (200, 198, 194),
]  # fmt: skip
_IRIS_BGR = [(30.0, 45.0, 70.0), (20.0, 25.0, 35.0), (130.0, 105.0, 70.0), (75.0, 105.0, 85.0)]
_HAIR_STYLES = ("bald", "buzz", "short", "short", "side", "fringe", "long", "bob", "afro", "bun")


class Light(NamedTuple):
    """Light of a scene."""

    x: float
    """Direction to the light, right positive, -1 to 1."""
    y: float
    """Direction to the light, down positive, -1 to 1."""
    contrast: float
    """Difference between the lit and the dark side, 0 (flat) to about 0.9."""


class Figure(NamedTuple):
    """A drawn patch, its place in the image, and the face that is on it."""

    patch: np.ndarray
    """[h, w, 4] uint8, BGRA, colours already multiplied by alpha."""
    corner: tuple[int, int]
    """x, y of the patch's first pixel in the image."""
    region: np.ndarray
    """[M, 2] float64, outline of the face (forehead to chin, ear to ear), image pixels; M = 0
    when the figure shows no face."""
    landmarks: np.ndarray
    """[5, 2] float64, image pixels."""
    covered: float
    """Share of the face behind glasses, mask or hand, 0 to 1."""
    yaw: float
    """Degrees, positive towards the right of the image."""


class Canvas:
    """A patch drawn at ``zoom`` times the image resolution and averaged down at the end.

    Points are image pixels with the first pixel spanning 0 to 1, as in the labels. Drawing on
    transparent black with anti-aliasing gives colours multiplied by alpha without further work.
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


def tint(color: Color, factor: float, add: float = 0.0) -> Color:
    """The colour multiplied by ``factor`` plus ``add``, kept in range."""
    blue, green, red = (min(max(value * factor + add, 0.0), 255.0) for value in color)
    return (blue, green, red)


def _mix(first: Color, second: Color, share: float) -> Color:
    blue, green, red = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return (blue, green, red)


def _xy(*pairs: tuple[float, float]) -> np.ndarray:
    return np.array(pairs, float)


class _Head:
    """Shape and pose of one head; turns head coordinates into image pixels."""

    def __init__(self, rng: np.random.Generator, center: np.ndarray, height: float):
        self.center, self.scale = center, height / 2
        # Mostly near frontal and upright, with long tails.
        self.yaw = float(np.clip(rng.normal(0, 24), -58, 58))
        self.pitch = float(np.clip(rng.normal(3, 9), -24, 26))
        self.roll = float(np.clip(rng.normal(0, 9) * rng.choice([0.6, 2.0]), -40, 40))
        jaw = rng.uniform(0.85, 1.2)
        self.half_width = _HALF_WIDTH * rng.uniform(0.92, 1.1)
        self.half_width[_PROFILE_Y > 0.4] *= jaw
        yaw, pitch, roll = np.deg2rad([self.yaw, self.pitch, self.roll])
        cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
        cr, sr = np.cos(roll), np.sin(roll)
        turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        self.rotation = tilt @ nod @ turn

    def space(self, points: np.ndarray) -> np.ndarray:
        """Head coordinates [M, 3] to image pixels [M, 2]."""
        return (points @ self.rotation.T)[:, :2] * self.scale + self.center

    def lift(self, points: np.ndarray, height: float = 0.0) -> np.ndarray:
        """Frontal (x, y) [M, 2] to the surface, raised by ``height``; [M, 3]."""
        x, y = points[:, 0], points[:, 1]
        wide = np.interp(y, _PROFILE_Y, self.half_width)
        deep = np.interp(y, _PROFILE_Y, _DEPTH)
        angle = np.arcsin(np.maximum(np.minimum(x / wide, 1), -1))
        # What has turned out of sight stays on the visible edge of the head.
        turned = np.deg2rad(self.yaw)
        angle = np.maximum(np.minimum(angle, np.pi / 2 - turned), -np.pi / 2 - turned)
        space = np.empty((len(points), 3))
        space[:, 0] = wide * np.sin(angle)
        space[:, 1] = y
        space[:, 2] = deep * np.cos(angle) + height
        return space

    def on(self, points: np.ndarray, height: float = 0.0) -> np.ndarray:
        """Frontal (x, y) on the surface to image pixels [M, 2]."""
        return self.space(self.lift(points, height))

    def faces_viewer(self, x: float, y: float) -> float:
        """How much the surface at (x, y) looks at the viewer: 1 fully, below 0 hidden."""
        wide = float(np.interp(y, _PROFILE_Y, self.half_width))
        normal = np.array([x / wide, 0.0, np.sqrt(max(1 - (x / wide) ** 2, 0.0))])
        return float((self.rotation @ normal)[2])

    def hull(self, top: float, bottom: float, grow: float = 1.0, back: float = 0.0) -> np.ndarray:
        """Outline in the image of the surface between two heights.

        Args:
            top: y of the upper end; -1 the hairline, -1.42 the crown.
            bottom: y of the lower end; 1 the chin.
            grow: factor of width, depth and of the height above the eyes, for hair and hats.
            back: how far the skull goes backwards, in head units.
        """
        angle = np.linspace(-np.pi / 2, np.pi / 2, 11)
        y = np.concatenate([np.linspace(top, bottom, 10), _PROFILE_Y])[:, None].clip(top, bottom)
        wide = np.interp(y, _PROFILE_Y, self.half_width) * grow
        deep = np.interp(y, _PROFILE_Y, _DEPTH) * grow
        x, z = wide * np.sin(angle), deep * np.cos(angle)
        tall = np.broadcast_to(np.where(y < 0, y * grow, y), x.shape)
        mesh = np.stack([x, tall, z], 2).reshape(-1, 3)
        if back:
            rear = np.stack([x, tall, -z / deep * wide * back], 2).reshape(-1, 3)
            mesh = np.concatenate([mesh, rear])
        flat = self.space(mesh).astype(np.float32)
        return cv2.convexHull(flat)[:, 0].astype(np.float64)


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
    head = _Head(rng, np.array(center, float), height)
    x, y, unit = center[0], center[1], height / 2
    reach = 2.7 * unit
    box = (x - reach, y - 2.4 * unit, x + reach, y + unit * (2 + 2 * body))
    canvas = Canvas(box, frame, zoom)
    skin, hair = skin_color(rng), _hair_color(rng)
    cover = cloth_color(rng) if rng.random() < 0.06 else None  # a headscarf
    style = "long" if cover else str(rng.choice(_HAIR_STYLES))
    _draw_body(canvas, rng, head, skin, body)
    _draw_back_hair(canvas, rng, head, cover or hair, style, skin)
    region, covered = np.zeros((0, 2)), 0.0
    if is_back:
        canvas.fill(head.hull(-1.42, 0.75, 1.06, 1.0), tint(skin, 0.9) if style == "bald" else hair)
        landmarks = np.zeros((5, 2))
        canvas.apply_shade(0, _light_field(canvas, head, light))
    else:
        # A little below the hairline, as annotators draw it: hair covers the rest of the forehead.
        region = head.hull(-0.87, 1.0)
        landmarks = _draw_face(canvas, rng, head, skin, hair, light)
        covered = _draw_worn(canvas, rng, head, cover or hair, "scarf" if cover else style)
        canvas.apply_shade(0, _light_field(canvas, head, light))
        if rng.random() < 0.06:
            covered = max(covered, 0.3)
            draw_hand(canvas, rng, skin, head.on(_xy((rng.uniform(-0.5, 0.5), 0.65)))[0], unit)
    return Figure(canvas.result(blur), canvas.corner, region, landmarks, covered, head.yaw)


def _hair_color(rng: np.random.Generator) -> Color:
    rgb = np.clip(np.array(_HAIR_RGB[rng.integers(len(_HAIR_RGB))]) * rng.uniform(0.8, 1.2), 0, 255)
    return cloth_color(rng) if rng.random() < 0.03 else (rgb[2], rgb[1], rgb[0])


def _light_field(canvas: Canvas, head: _Head, light: Light) -> np.ndarray:
    """Lambert shading of a ball around the head, as a coarse map over the patch."""
    height, width = (np.array(canvas.pixels.shape[:2]) / canvas.zoom).tolist()
    x = (np.linspace(0, width, 32) + canvas.corner[0] - head.center[0]) / (1.15 * head.scale)
    y = (np.linspace(0, height, 40) + canvas.corner[1] - head.center[1]) / (1.5 * head.scale)
    grid_x, grid_y = np.meshgrid(np.clip(x, -1, 1), np.clip(y, -1, 1))
    front = np.sqrt(np.clip(1 - (grid_x**2 + grid_y**2) * 0.8, 0.05, 1))
    lit = grid_x * light.x + grid_y * light.y + front * 0.7 - 0.45
    return np.clip(0.97 + light.contrast * 0.75 * lit, 0.2, 1.5)


def _draw_body(
    canvas: Canvas, rng: np.random.Generator, head: _Head, skin: Color, body: float
) -> None:
    unit, half_roll = head.scale, np.deg2rad(head.roll) / 2
    base = head.center + 1.45 * unit * np.array([-np.sin(half_roll), np.cos(half_roll)])
    cloth, wide = cloth_color(rng), rng.uniform(0.85, 1.15)
    end = max(2 * body - 0.4, 0.8)

    def at(*pairs: tuple[float, float]) -> np.ndarray:
        return base + _xy(*pairs) * (wide * unit, unit)

    neck = head.on(_xy((-0.4, 0.45), (0.4, 0.45)), -0.6)
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
    jaw_shadow = head.on(_xy((-0.5, 0.75), (0.5, 0.75)), -0.4)
    canvas.shade(np.concatenate([jaw_shadow, at((0.4, 0.1), (-0.4, 0.1))]), 0.66)
    canvas.apply_shade(0.1 * unit)


def _draw_back_hair(
    canvas: Canvas, rng: np.random.Generator, head: _Head, color: Color, style: str, skin: Color
) -> None:
    """Everything of the hair that lies behind the face, and the ears."""
    unit = head.scale
    dark = tint(color, 0.8)
    if style in ("long", "bob"):
        # Hair hangs down whatever the head does: only its top follows the pose.
        drop = rng.uniform(1.1, 2.1) if style == "long" else rng.uniform(0.45, 0.8)
        top = head.space(np.array([[-0.8, -0.7, -0.2], [0.8, -0.7, -0.2]]))
        side = rng.uniform(0.85, 1.1)
        ring = _xy(
            (side, drop * 0.3), (side * 1.05, drop * 0.75), (side * 0.85, drop), (0.3, drop * 1.04)
        )
        ends = np.concatenate([ring, ring[::-1] * (-1, 1)]) * head.scale
        lean = 0.35 * np.array([-np.sin(np.deg2rad(head.roll)) * drop * head.scale, 0.0])
        canvas.fill(np.concatenate([top, head.center + lean + ends]), dark)
    elif style == "afro":
        middle = head.space(np.array([[0.0, -0.55, -0.3]]))[0]
        ring = ellipse_points(np.zeros(2), (1.18 * unit, 1.15 * unit), 30)
        ring *= rng.uniform(0.95, 1.05, (30, 1))
        canvas.fill(ring + middle, dark)
    elif style == "bun":
        canvas.ellipse(
            head.space(np.array([[0.0, -1.5, -0.4]]))[0], (0.36 * unit, 0.34 * unit), dark
        )
    bald = style == "bald"
    grow = 1.0 if bald else rng.uniform(1.03, 1.12)
    canvas.fill(head.hull(-1.42, 0.35, grow, 1.05), skin if bald else dark)
    for side in (-1, 1):
        spot = head.space(
            np.array([[side * float(np.interp(0, _PROFILE_Y, head.half_width)), 0.02, -0.08]])
        )
        if side * head.yaw < 25:  # the far ear hides behind the cheek
            ear = ellipse_points(np.zeros(2), (0.13 * unit, 0.24 * unit), 16)
            canvas.fill(ear + spot[0], tint(skin, 0.86))
            canvas.fill(ear * 0.55 + spot[0], tint(skin, 0.68))


def _draw_face(
    canvas: Canvas, rng: np.random.Generator, head: _Head, skin: Color, hair: Color, light: Light
) -> np.ndarray:
    """Skin and features; returns the landmarks [5, 2] in image pixels."""
    canvas.fill(head.hull(-1.15, 1.0), skin)
    eye_x, eye_y = rng.uniform(0.29, 0.34), rng.uniform(-0.2, -0.1)
    nose_y, mouth_y = rng.uniform(0.22, 0.3), rng.uniform(0.54, 0.64)
    half, smile = rng.uniform(0.22, 0.32), rng.uniform(-0.03, 0.09)
    _shade_face(canvas, rng, head, light, eye_x, eye_y, nose_y, mouth_y)
    if rng.random() < 0.22:
        _draw_beard(canvas, rng, head, _mix(hair, skin, rng.uniform(0, 0.35)), mouth_y)
    opening = float(rng.choice([0.0, 0.055, 0.07, 0.085], p=[0.07, 0.28, 0.37, 0.28]))
    gaze = float(np.clip(rng.normal(0, 0.03), -0.05, 0.05))
    iris = _IRIS_BGR[rng.integers(len(_IRIS_BGR))]
    for side in (-1, 1):
        if head.faces_viewer(side * eye_x, eye_y) > 0.12:
            _draw_eye(canvas, head, skin, iris, side * eye_x, eye_y, opening, gaze)
        brow = _xy(
            (-0.17, 0.05), (-0.05, -0.02), (0.08, -0.04), (0.19, 0.03), (0.08, 0.01), (-0.05, 0.03)
        )
        brow = brow * (side, rng.uniform(0.9, 1.6)) + (side * (eye_x + 0.01), eye_y - 0.2)
        if head.faces_viewer(side * eye_x, eye_y) > 0.05:
            canvas.fill(head.on(brow, 0.02), _mix(tint(hair, 0.7), skin, 0.15))
    _draw_nose(canvas, head, skin, nose_y)
    _draw_mouth(canvas, rng, head, skin, mouth_y, half, smile)
    eyes = head.on(_xy((-eye_x, eye_y), (eye_x, eye_y)))
    tip = head.on(_xy((0.0, nose_y)), 0.2)
    corners = head.on(_xy((-half, mouth_y - smile), (half, mouth_y - smile)))
    return np.concatenate([eyes, tip, corners])


def _shade_face(
    canvas: Canvas, rng: np.random.Generator, head: _Head, light: Light,
    eye_x: float, eye_y: float, nose_y: float, mouth_y: float,
) -> None:  # fmt: skip
    """Soft shadows: eye sockets, the dark side of the nose, under nose and lip, the jaw."""
    unit = head.scale
    depth = rng.uniform(0.7, 0.88)
    for side in (-1, 1):
        socket = ellipse_points(np.array([side * eye_x, eye_y - 0.03]), (0.2, 0.13), 14)
        canvas.shade(head.on(socket), depth)
        cheek = ellipse_points(np.array([side * 0.42, 0.22]), (0.15, 0.12), 14)
        canvas.shade(head.on(cheek), 1.08)
        jaw = _xy((side * 0.74, 0.1), (side * 0.5, 0.45), (side * 0.3, 0.98), (side * 0.66, 0.6))
        canvas.shade(head.on(jaw), 0.88)
        fold = _xy((side * 0.16, 0.3), (side * 0.3, 0.5), (side * 0.33, 0.48), (side * 0.2, 0.28))
        canvas.shade(head.on(fold), rng.uniform(0.75, 1.0))
    dark = -1 if light.x > 0 else 1
    flank = _xy((dark * 0.05, eye_y), (dark * 0.17, nose_y + 0.07), (dark * 0.02, nose_y + 0.05))
    canvas.shade(head.on(flank, 0.08), 0.66)
    ridge = _xy((-0.03, eye_y), (0.03, eye_y), (0.045, nose_y), (-0.045, nose_y))
    canvas.shade(head.on(ridge, 0.17), 1.16)
    canvas.shade(head.on(ellipse_points(np.array([0.0, nose_y + 0.13]), (0.16, 0.05), 12)), 0.6)
    canvas.shade(head.on(ellipse_points(np.array([0.0, mouth_y + 0.16]), (0.15, 0.035), 12)), 0.74)
    canvas.shade(head.on(ellipse_points(np.array([0.0, -0.65]), (0.3, 0.14), 14)), 1.07)
    canvas.apply_shade(0.045 * unit)


def _draw_eye(
    canvas: Canvas, head: _Head, skin: Color, iris: Color, x: float, y: float,
    opening: float, gaze: float,
) -> None:  # fmt: skip
    half = 0.155
    across = np.linspace(-1, 1, 9)
    arch = 1 - across**2
    upper = np.stack([x + across * half, y - arch * opening], 1)
    lower = np.stack([x + across * half, y + arch * opening * 0.75 + 0.008], 1)
    lash = tint(skin, 0.25)
    if opening > 0:
        canvas.fill(head.on(np.concatenate([upper, lower[::-1]])), (222, 226, 230))
        black: Color = (8.0, 8.0, 8.0)
        for radius, color in ((0.072, iris), (0.036, black)):
            ring = ellipse_points(np.array([x + gaze, y]), (radius, radius), 16)
            bow = 1 - ((ring[:, 0] - x) / half) ** 2
            ring[:, 1] = np.clip(ring[:, 1], y - bow * opening, y + bow * opening * 0.75 + 0.008)
            canvas.fill(head.on(ring), color)
    canvas.line(head.on(upper), lash, 0.035 * head.scale)
    if head.scale < 12:  # the rest is lost when the face is averaged down
        return
    if opening > 0:
        glint = ellipse_points(np.array([x + gaze + 0.02, y - 0.02]), (0.012, 0.012), 6)
        canvas.fill(head.on(glint), (250, 250, 250))
    canvas.line(head.on(upper - (0, 0.055)), tint(skin, 0.7), 0.012 * head.scale)
    canvas.line(head.on(lower), tint(skin, 0.68), 0.012 * head.scale)


def _draw_nose(canvas: Canvas, head: _Head, skin: Color, nose_y: float) -> None:
    for side in (-1, 1):
        wing = _xy(
            (side * 0.1, nose_y - 0.03), (side * 0.15, nose_y + 0.05), (side * 0.1, nose_y + 0.1)
        )
        canvas.line(head.on(wing, 0.06), tint(skin, 0.66), 0.022 * head.scale)
        hole = ellipse_points(np.array([side * 0.06, nose_y + 0.075]), (0.036, 0.02), 10)
        canvas.fill(head.on(hole, 0.13), tint(skin, 0.32))


def _draw_mouth(
    canvas: Canvas, rng: np.random.Generator, head: _Head, skin: Color,
    y: float, half: float, smile: float,
) -> None:  # fmt: skip
    lips = _mix(tint(skin, 0.78), (70, 60, 165), rng.uniform(0.1, 0.55))
    opening = float(rng.choice([0.0, 0.05, 0.14], p=[0.55, 0.27, 0.18])) * rng.uniform(0.7, 1.2)
    across = np.linspace(-1, 1, 11)
    arch = 1 - across**2
    middle = y - smile * (2 * across**2 - 1)
    bow = arch * 0.055 + 0.02 * np.exp(-(((np.abs(across) - 0.22) / 0.12) ** 2)) * (opening < 0.1)

    def lip(shift: np.ndarray) -> np.ndarray:
        return np.stack([across * half, middle + shift], 1)

    top, bottom = lip(-bow - arch * opening * 0.3), lip(arch * (0.085 + opening))
    canvas.fill(head.on(np.concatenate([top, bottom[::-1]]), 0.03), lips)
    canvas.line(head.on(lip(arch * (0.05 + opening)), 0.03), tint(lips, 1.15), 0.02 * head.scale)
    inner_top, inner_bottom = lip(-arch * opening * 0.3), lip(arch * opening)
    if opening > 0:
        canvas.fill(head.on(np.concatenate([inner_top, inner_bottom[::-1]]), 0.02), (25, 20, 45))
        teeth = np.concatenate([inner_top, lip(arch * opening * 0.4)[::-1]])
        canvas.fill(head.on(teeth * (0.9, 1), 0.02), (225, 232, 235))
    else:
        canvas.line(head.on(lip(np.zeros(11)), 0.03), tint(lips, 0.4), 0.022 * head.scale)


def _draw_beard(
    canvas: Canvas, rng: np.random.Generator, head: _Head, color: Color, mouth_y: float
) -> None:
    opacity = rng.uniform(0.35, 0.95)
    tache = _xy(
        (-0.3, mouth_y + 0.02),
        (-0.12, mouth_y - 0.16),
        (0.12, mouth_y - 0.16),
        (0.3, mouth_y + 0.02),
    )
    canvas.fill(head.on(tache, 0.03), color, opacity)
    if rng.random() < 0.7:
        low = mouth_y + 0.14
        outer = _xy((0.76, 0.0), (0.73, 0.35), (0.62, 0.65), (0.42, 0.9), (0.2, 1.02), (0.0, 1.04))
        inner = _xy(
            (0.62, 0.2), (0.48, 0.4), (0.38, mouth_y - 0.06), (0.32, low), (0.0, low + 0.02)
        )
        ring = np.concatenate([outer, outer[::-1] * (-1, 1), inner * (-1, 1), inner[::-1]])
        canvas.fill(head.on(ring, 0.01), color, opacity)


def _draw_worn(
    canvas: Canvas, rng: np.random.Generator, head: _Head, hair: Color, style: str
) -> float:
    """Front hair, glasses, mask, hat; returns the covered share of the face."""
    unit, covered = head.scale, 0.0
    _draw_front_hair(canvas, rng, head, hair, style)
    choice = rng.random()
    if choice < 0.17:
        rim = tint(cloth_color(rng), 0.45)
        is_dark = choice < 0.07
        for side in (-1, 1):
            lens = ellipse_points(np.array([side * 0.31, -0.12]), (0.24, 0.17), 20)
            if head.faces_viewer(side * 0.31, -0.12) > 0.1:
                canvas.fill(head.on(lens, 0.09), (25, 22, 20), 0.95 if is_dark else 0.12)
                canvas.line(head.on(lens, 0.09), rim, 0.035 * unit, closed=True)
            if head.faces_viewer(side * 0.7, -0.12) > 0:
                temple = _xy((side * 0.54, -0.15), (side * 0.76, -0.14))
                canvas.line(head.on(temple, 0.04), rim, 0.035 * unit)
        canvas.line(head.on(_xy((-0.07, -0.14), (0.07, -0.14)), 0.14), rim, 0.035 * unit)
        covered = 0.22 if is_dark else 0.0
    if rng.random() < 0.05:
        cloth = (215, 200, 160) if rng.random() < 0.6 else cloth_color(rng)
        right = [(0.3, 0.1), (0.68, 0.22), (0.66, 0.5), (0.5, 0.85), (0.2, 1.04)]
        mask = np.array([(0.0, 0.06), *right, *[(-px, py) for px, py in right[::-1]]])
        canvas.fill(head.on(mask, 0.12), cloth)
        for y in (0.35, 0.55, 0.75):
            crease = _xy((-0.5, y), (0.0, y + 0.02), (0.5, y))
            canvas.line(head.on(crease, 0.13), tint(cloth, 0.82), 0.025 * unit)
        covered = 0.45
    if rng.random() < 0.13:
        _draw_hat(canvas, rng, head)
    return covered


def _draw_front_hair(
    canvas: Canvas, rng: np.random.Generator, head: _Head, color: Color, style: str
) -> None:
    if style == "bald":
        return
    low = {"buzz": -0.9, "fringe": -0.42, "scarf": -0.8}.get(
        style, float(rng.uniform(-0.98, -0.75))
    )
    side_low = {"long": 0.3, "bob": 0.35, "scarf": 0.75, "buzz": -0.2}.get(style, -0.12)
    part = rng.uniform(-0.35, 0.35) if style in ("side", "long") else 0.0
    x = np.array([0.77, 0.73, 0.68, 0.62, 0.45, 0.2, 0.0])
    y = np.array([side_low, -0.3, -0.5, low + 0.2, low + 0.06, low, low])
    if style == "scarf":
        x = np.array([0.3, 0.58, 0.66, 0.66, 0.5, 0.2, 0.0])
        y = np.array([0.98, 0.7, 0.2, -0.4, low + 0.1, low, low])
    line = np.concatenate([np.stack([-x, y], 1), np.stack([x, y], 1)[::-1]])
    line[3:-3, 1] += part * line[3:-3, 0] * 0.5
    line[:, 1] += rng.normal(0, 0.02, len(line))
    # From the hairline round the visible edge of the head, then over the crown.
    up = np.linspace(line[0, 1], -1.3, 6)
    edge = np.stack([np.full(6, 2.0), up], 1)
    outline = np.concatenate([line, edge, edge[::-1] * (-1, 1)])
    canvas.fill(head.on(outline, 0.04), color)
    for side in (-1, 1):
        canvas.line(head.on(edge * (side, 1), 0.02), color, 0.07 * head.scale)
    canvas.fill(head.hull(-1.42, min(low, -0.7) - 0.12, 1.05, 0.6), color)
    if canvas.zoom * head.scale > 40:  # strands, where they can be seen
        for start in rng.uniform(-0.7, 0.7, 14):
            strand = _xy((start * 0.5, -1.38), (start * 0.9, -1.2), (start, low - 0.05))
            factor = rng.choice([0.75, 1.3])
            canvas.line(head.on(strand, 0.07), tint(color, factor, 3), 0.02 * head.scale)


def _draw_hat(canvas: Canvas, rng: np.random.Generator, head: _Head) -> None:
    color, unit = cloth_color(rng), head.scale
    canvas.fill(head.hull(-1.42, -0.72, rng.uniform(1.1, 1.2), 1.0), color)
    band = np.stack(
        [np.linspace(-0.74, 0.74, 9), -0.74 + 0.08 * np.cos(np.linspace(-1.5, 1.5, 9))], 1
    )
    canvas.line(head.on(band, 0.1), tint(color, 0.6), 0.14 * unit)
    if rng.random() < 0.6:  # the peak of a cap, or the brim of a hat all round
        wide = rng.choice([0.62, 1.15])
        angle = np.linspace(0, 2 * np.pi if wide > 1 else np.pi, 20)
        brim = np.stack(
            [np.cos(angle) * wide, np.full(20, -0.76), np.sin(angle) * (wide + 0.25)], 1
        )
        brim[:, 2] += 0.15 if wide < 1 else 0.0
        canvas.fill(head.space(brim), tint(color, 0.75))


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
