"""The face itself: ears, skin, eyes, brows, nose, mouth, beard, and where its landmarks are."""

from __future__ import annotations

import numpy as np

from src.synthetic.camera import Light
from src.synthetic.canvas import Canvas, Color, ellipse_points, mix, tint, xy
from src.synthetic.head import Head

_IRIS_BGR = [(30.0, 45.0, 70.0), (20.0, 25.0, 35.0), (130.0, 105.0, 70.0), (75.0, 105.0, 85.0)]


def draw_ears(canvas: Canvas, head: Head, skin: Color) -> None:
    """The ears, which the face is drawn over."""
    unit = head.scale
    for side in (-1, 1):
        spot = head.space(np.array([[side * float(head.half_width_at(0)), 0.02, -0.08]]))
        if side * head.yaw < 25:  # the far ear hides behind the cheek
            ear = ellipse_points(np.zeros(2), (0.13 * unit, 0.24 * unit), 16)
            canvas.fill(ear + spot[0], tint(skin, 0.86))
            canvas.fill(ear * 0.55 + spot[0], tint(skin, 0.68))


def draw_face(
    canvas: Canvas, rng: np.random.Generator, head: Head, skin: Color, hair: Color, light: Light
) -> np.ndarray:
    """Draw skin and features.

    Args:
        canvas: drawn on.
        rng: decides the features and the expression.
        head: what the face is on.
        skin: its colour.
        hair: colour of brows and beard.
        light: decides which flank of the nose is dark.

    Returns:
        The landmarks [5, 2], image pixels.
    """
    canvas.fill(head.hull(-1.15, 1.0), skin)
    eye_x, eye_y = rng.uniform(0.29, 0.34), rng.uniform(-0.2, -0.1)
    nose_y, mouth_y = rng.uniform(0.22, 0.3), rng.uniform(0.54, 0.64)
    half, smile = rng.uniform(0.22, 0.32), rng.uniform(-0.03, 0.09)
    _shade_face(canvas, rng, head, light, eye_x, eye_y, nose_y, mouth_y)
    if rng.random() < 0.22:
        _draw_beard(canvas, rng, head, mix(hair, skin, rng.uniform(0, 0.35)), mouth_y)
    opening = float(rng.choice([0.0, 0.055, 0.07, 0.085], p=[0.07, 0.28, 0.37, 0.28]))
    gaze = float(np.clip(rng.normal(0, 0.03), -0.05, 0.05))
    iris = _IRIS_BGR[rng.integers(len(_IRIS_BGR))]
    for side in (-1, 1):
        if head.faces_viewer(side * eye_x, eye_y) > 0.12:
            _draw_eye(canvas, head, skin, iris, side * eye_x, eye_y, opening, gaze)
        brow = xy(
            (-0.17, 0.05), (-0.05, -0.02), (0.08, -0.04), (0.19, 0.03), (0.08, 0.01), (-0.05, 0.03)
        )
        brow = brow * (side, rng.uniform(0.9, 1.6)) + (side * (eye_x + 0.01), eye_y - 0.2)
        if head.faces_viewer(side * eye_x, eye_y) > 0.05:
            canvas.fill(head.on(brow, 0.02), mix(tint(hair, 0.7), skin, 0.15))
    _draw_nose(canvas, head, skin, nose_y)
    _draw_mouth(canvas, rng, head, skin, mouth_y, half, smile)
    eyes = head.on(xy((-eye_x, eye_y), (eye_x, eye_y)))
    tip = head.on(xy((0.0, nose_y)), 0.2)
    corners = head.on(xy((-half, mouth_y - smile), (half, mouth_y - smile)))
    return np.concatenate([eyes, tip, corners])


def _shade_face(
    canvas: Canvas, rng: np.random.Generator, head: Head, light: Light,
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
        jaw = xy((side * 0.74, 0.1), (side * 0.5, 0.45), (side * 0.3, 0.98), (side * 0.66, 0.6))
        canvas.shade(head.on(jaw), 0.88)
        fold = xy((side * 0.16, 0.3), (side * 0.3, 0.5), (side * 0.33, 0.48), (side * 0.2, 0.28))
        canvas.shade(head.on(fold), rng.uniform(0.75, 1.0))
    dark = -1 if light.x > 0 else 1
    flank = xy((dark * 0.05, eye_y), (dark * 0.17, nose_y + 0.07), (dark * 0.02, nose_y + 0.05))
    canvas.shade(head.on(flank, 0.08), 0.66)
    ridge = xy((-0.03, eye_y), (0.03, eye_y), (0.045, nose_y), (-0.045, nose_y))
    canvas.shade(head.on(ridge, 0.17), 1.16)
    canvas.shade(head.on(ellipse_points(np.array([0.0, nose_y + 0.13]), (0.16, 0.05), 12)), 0.6)
    canvas.shade(head.on(ellipse_points(np.array([0.0, mouth_y + 0.16]), (0.15, 0.035), 12)), 0.74)
    canvas.shade(head.on(ellipse_points(np.array([0.0, -0.65]), (0.3, 0.14), 14)), 1.07)
    canvas.apply_shade(0.045 * unit)


def _draw_eye(
    canvas: Canvas, head: Head, skin: Color, iris: Color, x: float, y: float,
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


def _draw_nose(canvas: Canvas, head: Head, skin: Color, nose_y: float) -> None:
    for side in (-1, 1):
        wing = xy(
            (side * 0.1, nose_y - 0.03), (side * 0.15, nose_y + 0.05), (side * 0.1, nose_y + 0.1)
        )
        canvas.line(head.on(wing, 0.06), tint(skin, 0.66), 0.022 * head.scale)
        hole = ellipse_points(np.array([side * 0.06, nose_y + 0.075]), (0.036, 0.02), 10)
        canvas.fill(head.on(hole, 0.13), tint(skin, 0.32))


def _draw_mouth(
    canvas: Canvas, rng: np.random.Generator, head: Head, skin: Color,
    y: float, half: float, smile: float,
) -> None:  # fmt: skip
    lips = mix(tint(skin, 0.78), (70, 60, 165), rng.uniform(0.1, 0.55))
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
    canvas: Canvas, rng: np.random.Generator, head: Head, color: Color, mouth_y: float
) -> None:
    opacity = rng.uniform(0.35, 0.95)
    tache = xy(
        (-0.3, mouth_y + 0.02),
        (-0.12, mouth_y - 0.16),
        (0.12, mouth_y - 0.16),
        (0.3, mouth_y + 0.02),
    )
    canvas.fill(head.on(tache, 0.03), color, opacity)
    if rng.random() < 0.7:
        low = mouth_y + 0.14
        outer = xy((0.76, 0.0), (0.73, 0.35), (0.62, 0.65), (0.42, 0.9), (0.2, 1.02), (0.0, 1.04))
        inner = xy((0.62, 0.2), (0.48, 0.4), (0.38, mouth_y - 0.06), (0.32, low), (0.0, low + 0.02))
        ring = np.concatenate([outer, outer[::-1] * (-1, 1), inner * (-1, 1), inner[::-1]])
        canvas.fill(head.on(ring, 0.01), color, opacity)
