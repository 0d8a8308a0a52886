"""Compose one labelled image: background, people, look-alikes, occluders, light and camera.

All randomness of an image comes from one generator, so an image depends on nothing else. Heights
are chosen for a 640 pixel canvas and mapped by their position in the logarithmic range, so a
small canvas keeps the same mixture of small and large faces.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from src.data.synthetic_faces import (
    Canvas,
    Figure,
    Light,
    cloth_color,
    draw_hand,
    draw_person,
    draw_smiley,
    ellipse_points,
    skin_color,
    tint,
)

SCENES = ("Crowd", "Group", "Portrait", "Street", "Empty")
"""Kinds of scene; the position is the event number."""
# 24 images hold the share of every kind of scene; the eighth is the first without a face.
# Letters are the first of a scene's name.
_TRAIN_SCHEDULE = "CGSPSGCEPSGSPGGSPGSCPSGP"
_VAL_SCHEDULE = _TRAIN_SCHEDULE.replace("E", "P")
MIN_HEIGHT = 6.0
"""Smallest face, pixels."""
MAX_SHARE = 0.62
"""Largest face as a share of the canvas side."""


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


class Labels(NamedTuple):
    """What is kept of an image once its file is written."""

    name: str
    """``event/file.jpg``."""
    rows: list[str]
    """One line of 20 numbers per face, as in ``label.txt``."""
    boxes_xywh: np.ndarray
    """[N, 4] float64, pixels; the numbers of ``rows``."""
    difficulty: np.ndarray
    """[N] int: 0 easy, 1 medium, 2 hard, 3 none of them."""


class _Plan(NamedTuple):
    """A person to be drawn."""

    x: float
    y: float
    height: float
    body: float
    blur: float
    is_back: bool


class _Placed(NamedTuple):
    """A face that was drawn, before it is known what hides it."""

    figure: Figure
    pixels: int
    """Pixels of the face when it was drawn, inside the image."""
    inside: float
    """Share of the face that the frame does not cut off."""
    blur: float
    """Defocus relative to the height of the face."""


def image_name(split: str, index: int) -> str:
    """``event/file.jpg`` of image ``index`` of ``train`` or ``val``; the event is its scene."""
    kind = _kind(split, index)
    event = SCENES.index(kind)
    return f"{event}--{kind}/{event}_{kind}_synthetic_{int(split == 'val')}_{index}.jpg"


def write_image(root: str, seed: int, size: int, job: tuple[str, int]) -> Labels:
    """Draw one image and write it to ``root/split/images``; runs in the worker processes.

    Args:
        root: the data set's folder, in which the event's folder exists.
        seed: of the data set.
        size: longest side, pixels.
        job: split (``train`` or ``val``) and number of the image.

    Returns:
        The labels, whose numbers are rounded as they are written.
    """
    split, index = job
    kind = _kind(split, index)
    for attempt in range(50):  # an image of people shows at least one face that counts
        rng = np.random.default_rng((seed, int(split == "val"), index, attempt))
        scene = draw_scene(rng, kind, size)
        if kind == "Empty" or (scene.difficulty <= 2).any():
            break
    quality = int(rng.integers(45, 96))
    _, data = cv2.imencode(".jpg", scene.image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    name = image_name(split, index)
    (Path(root) / split / "images" / name).write_bytes(data.tobytes())
    return Labels(name, _rows(scene), scene.boxes_xywh, scene.difficulty)


def start_worker() -> None:
    """Prepare a worker process. Here, so that the workers import neither torch nor scipy."""
    cv2.setNumThreads(1)  # the processes are the parallelism
    parent = multiprocessing.parent_process()
    if parent is not None:  # a killed generation must not leave its workers waiting for ever
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _kind(split: str, index: int) -> str:
    schedule = _TRAIN_SCHEDULE if split == "train" else _VAL_SCHEDULE
    letter = schedule[index % len(schedule)]
    return next(kind for kind in SCENES if kind.startswith(letter))


def _rows(scene: Scene) -> list[str]:
    rows = []
    for box, marks, has, invalid in zip(
        scene.boxes_xywh, scene.landmarks, scene.has_landmarks, scene.invalid, strict=True
    ):
        points = [f"{x:.2f} {y:.2f} 0.0" for x, y in marks] if has else ["-1.0 -1.0 -1.0"] * 5
        numbers = [f"{value:.2f}" for value in box]
        rows.append(" ".join([*numbers, *points, "0.0" if invalid else "1.0"]))
    return rows


def scaled_height(height: float, size: int) -> float:
    """A face height for a 640 pixel canvas, at the same place in the range of another canvas."""
    place = np.log(height / MIN_HEIGHT) / np.log(MAX_SHARE * 640 / MIN_HEIGHT)
    return float(MIN_HEIGHT * (MAX_SHARE * size / MIN_HEIGHT) ** place)


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
    image = _background(rng, width, height)
    owner = np.zeros((height, width), np.int32)  # which face a pixel shows, from 1; 0 none
    plans = _plan(rng, kind, width, height, size)
    for _ in range(rng.poisson(5 if kind == "Empty" else 1.6) + (kind == "Empty")):
        _paste(image, owner, _distractor(rng, width, height, size, light), 0)
    placed: list[_Placed] = []
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
        pixels = _paste(image, owner, figure, len(placed) + 1)
        if not plan.is_back and pixels:
            inside = _share_inside(figure.region, width, height)
            placed.append(_Placed(figure, pixels, inside, plan.blur))
            if rng.random() < 0.09 and plan.height > 14:
                _paste(image, owner, _occluder(rng, figure, (width, height), light), 0)
    if rng.random() < 0.035:
        _bars(rng, image, owner)
    image, softness = _camera(rng, image, light)
    return _label(rng, image, owner, placed, softness, size)


# ------------------------------------------------------------------------------ who stands where


def _plan(rng: np.random.Generator, kind: str, width: int, height: int, size: int) -> list[_Plan]:
    plans: list[_Plan] = []
    tallest = 0.85 * height

    def add(x: float, y: float, tall: float, body: float, blur: float, back: float) -> None:
        tall = min(max(tall, MIN_HEIGHT), tallest)
        y = max(y, rng.uniform(0.2, 0.8) * tall)  # few heads are cut off above
        for other in plans:  # heads overlap a little at most
            gap = 0.5 * (tall + other.height)
            if abs(x - other.x) < 0.62 * gap and abs(y - other.y) < 0.8 * gap:
                return
        plans.append(_Plan(x, y, tall, body, blur, rng.random() < back))

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


# ------------------------------------------------------------------------------------- pasting


def _paste(image: np.ndarray, owner: np.ndarray, figure: Figure, number: int) -> int:
    """Put the figure over the image; returns how many pixels its face shows."""
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


def _share_inside(region: np.ndarray, width: int, height: int) -> float:
    low, high = region.min(0), region.max(0)
    cut = np.clip(high, 0, (width, height)) - np.clip(low, 0, (width, height))
    return float(np.prod(cut) / np.prod(high - low))


# ---------------------------------------------------------------------------------- background


def _noise(rng: np.random.Generator, width: int, height: int, cells: int) -> np.ndarray:
    """Smooth noise [height, width] uint8 with about ``cells`` bumps across."""
    rows = max(2, round(cells * height / width))
    small = rng.integers(0, 256, (rows, cells), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
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


# ----------------------------------------------------------------------- look-alikes, occluders


def _distractor(
    rng: np.random.Generator, width: int, height: int, size: int, light: Light
) -> Figure:
    """Something that resembles a face in one respect and is not labelled."""
    tall = scaled_height(float(np.exp(rng.uniform(np.log(8), np.log(220)))), size)
    spot, unit = rng.uniform(0, 1, 2) * (width, height), tall / 2
    box = (spot[0] - 2 * unit, spot[1] - 2 * unit, spot[0] + 2 * unit, spot[1] + 2 * unit)
    canvas = Canvas(box, (width, height), 1 if tall > 60 else int(np.ceil(60 / tall)))
    color = skin_color(rng) if rng.random() < 0.5 else cloth_color(rng)
    dark = tint(color, rng.uniform(0.2, 0.5))
    kind = int(rng.integers(10))
    flat = rng.uniform(0.7, 1.0)
    oval = ellipse_points(spot, (unit * flat, unit))
    blur = 0.0
    if kind == 0:  # ball
        canvas.ellipse(spot, (unit, unit), color)
        for bend in (-0.5, 0.4):
            angle = np.linspace(-1.2, 1.2, 12)
            seam = np.stack([np.sin(angle), bend * np.cos(angle)], 1) * unit * 0.9 + spot
            canvas.line(seam, dark, 0.06 * unit)
    elif kind == 1:  # clock
        canvas.ellipse(spot, (unit, unit), dark)
        canvas.ellipse(spot, (0.88 * unit, 0.88 * unit), (230, 232, 235))
        for hour in np.arange(12) * np.pi / 6:
            way = np.array([np.cos(hour), np.sin(hour)]) * unit
            canvas.line(np.stack([spot + way * 0.72, spot + way * 0.82]), (30, 30, 30), 0.06 * unit)
        for reach in (0.45, 0.68):
            turn = rng.uniform(0, 2 * np.pi)
            hand = spot + np.array([np.cos(turn), np.sin(turn)]) * unit * reach
            canvas.line(np.stack([spot, hand]), (30, 30, 30), 0.07 * unit)
    elif kind == 2:  # plain oval, skin or cloth coloured
        canvas.fill(oval, color)
    elif kind == 3:  # pair of dots, as of screws or lamps
        canvas.fill(spot + np.array([(-1, -0.6), (1, -0.6), (1, 0.6), (-1, 0.6)]) * unit, color)
        for side in (-0.45, 0.45):
            canvas.ellipse(spot + np.array([side, 0.0]) * unit, (0.22 * unit, 0.22 * unit), dark)
    elif kind == 4:  # smiley
        canvas.ellipse(spot, (unit, unit), (60, 210, 245) if rng.random() < 0.5 else color)
        draw_smiley(canvas, spot, unit, (30, 30, 30))
    elif kind == 5:  # carved mask: holes, and nothing of a face in them
        canvas.fill(oval, color)
        for side in (-0.4, 0.4):
            canvas.ellipse(
                spot + np.array([side * flat, -0.2]) * unit, (0.2 * unit, 0.1 * unit), (15, 15, 15)
            )
        canvas.ellipse(spot + np.array([0.0, 0.5]) * unit, (0.25 * unit, 0.1 * unit), (15, 15, 15))
    elif kind == 6:  # blurred blob
        canvas.fill(oval, skin_color(rng))
        blur = rng.uniform(0.15, 0.35) * unit
    elif kind == 7:  # electric socket
        canvas.fill(
            spot + np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * unit * 0.9, (225, 228, 230)
        )
        canvas.ellipse(spot, (0.7 * unit, 0.7 * unit), (200, 202, 205))
        for x, y in ((-0.3, -0.1), (0.3, -0.1), (0.0, 0.35)):
            canvas.ellipse(spot + np.array([x, y]) * unit, (0.1 * unit, 0.1 * unit), (40, 40, 40))
    elif kind == 8:  # head without a face, as of a shop window figure
        canvas.fill(
            spot + np.array([(-0.3, 0.5), (0.3, 0.5), (0.4, 1.6), (-0.4, 1.6)]) * unit, dark
        )
        canvas.fill(oval, color)
        canvas.fill(ellipse_points(spot - (0, 0.45 * unit), (0.75 * unit, 0.6 * unit)), dark)
    else:  # hand
        draw_hand(canvas, rng, skin_color(rng), spot, unit)
    shaded = np.linspace(1 - light.contrast * 0.5, 1 + light.contrast * 0.3, 8)
    canvas.apply_shade(0, np.tile(shaded[:: -1 if light.x < 0 else 1], (8, 1)))
    return Figure(canvas.result(blur), canvas.corner, np.zeros((0, 2)), np.zeros((5, 2)), 0.0, 0.0)


def _occluder(
    rng: np.random.Generator, figure: Figure, frame: tuple[int, int], light: Light
) -> Figure:
    """A thing in front of part of a face: paper, telephone, cup, microphone, hand, branch."""
    low, high = figure.region.min(0), figure.region.max(0)
    unit = float(high[1] - low[1]) / 2
    angle = rng.uniform(0.1, 2 * np.pi)
    spot = (low + high) / 2 + np.array([np.cos(angle) * 0.75, np.sin(angle) * 0.9]) * unit
    box = (spot[0] - 2 * unit, spot[1] - 2 * unit, spot[0] + 2 * unit, spot[1] + 3 * unit)
    canvas = Canvas(box, frame, 1 if unit > 30 else int(np.ceil(30 / unit)))
    color, kind = cloth_color(rng), int(rng.integers(4))
    if kind == 0:  # sheet or telephone
        turn, wide, tall = rng.uniform(-0.5, 0.5), rng.uniform(0.3, 0.9), rng.uniform(0.5, 0.9)
        corners = np.array([(-wide, -tall), (wide, -tall), (wide, tall), (-wide, tall)]) * unit
        spin = np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
        canvas.fill(corners @ spin + spot, color)
        canvas.fill(corners @ spin * 0.8 + spot, tint(color, rng.uniform(0.4, 1.3)))
    elif kind == 1:  # microphone or lollipop
        canvas.line(
            np.stack([spot, spot + np.array([0.3, 2.5]) * unit]), tint(color, 0.4), 0.16 * unit
        )
        canvas.ellipse(spot, (0.36 * unit, 0.4 * unit), tint(color, 0.6))
    elif kind == 2:
        draw_hand(canvas, rng, skin_color(rng), spot, unit)
    else:  # leaves
        for offset in rng.normal(0, 0.5, (9, 2)):
            leaf = ellipse_points(spot + offset * unit, (0.4 * unit, 0.16 * unit), 10)
            canvas.fill(leaf, (40, rng.uniform(60, 150), 60))
    return Figure(canvas.result(), canvas.corner, np.zeros((0, 2)), np.zeros((5, 2)), 0.0, 0.0)


def _bars(rng: np.random.Generator, image: np.ndarray, owner: np.ndarray) -> None:
    """A railing or a net in front of everything."""
    height, width = owner.shape
    wide = max(int(rng.uniform(0.006, 0.025) * width), 1)
    step, color = wide * rng.uniform(4, 9), tint(cloth_color(rng), 0.6)
    slope = float(rng.choice([0.0, rng.uniform(-0.6, 0.6)]))
    for x in np.arange(-height, width + height, step):
        ends = [np.array([(x, 0), (x + slope * height, height)]).astype(np.int32)]
        cv2.polylines(image, ends, False, color, wide, cv2.LINE_AA)
        cv2.polylines(owner, ends, False, 0, wide)


# --------------------------------------------------------------------------------------- camera


def _camera(rng: np.random.Generator, image: np.ndarray, light: Light) -> tuple[np.ndarray, float]:
    """Light, exposure, blur and noise; also returns the blur's standard deviation in pixels."""
    height, width = image.shape[:2]
    x = np.linspace(-1, 1, 16) * light.x
    y = np.linspace(-1, 1, 16)[:, None] * light.y
    field = 1 + rng.uniform(0, 0.4) * (x + y)
    if rng.random() < 0.2:  # vignette, lamp
        field = field * (
            1.1 - rng.uniform(0.15, 0.5) * ((x * 0 + np.linspace(-1, 1, 16)) ** 2 + y**2)
        )
    exposure, mood = 1.0, rng.random()
    if mood < 0.1:
        exposure = rng.uniform(0.28, 0.55)  # night
    elif mood < 0.17:
        exposure = rng.uniform(1.4, 1.9)  # blown out
    cast = rng.normal(1, 0.05, 3) if rng.random() < 0.8 else rng.normal(1, 0.16, 3)
    gain = np.clip(field[..., None] * exposure * cast, 0.08, 3.9) * 64
    wide = cv2.resize(gain.astype(np.float32), (width, height)).astype(np.uint8)
    image = cv2.multiply(image, wide, scale=1 / 64)
    contrast, gamma = rng.uniform(0.6, 1.2), float(np.exp(rng.normal(0, 0.15)))
    level = (np.arange(256) / 255) ** gamma
    table = np.clip(((level - 0.45) * contrast + 0.45 + rng.normal(0, 0.03)) * 255, 0, 255)
    image = cv2.LUT(image, table.astype(np.uint8))
    softness, choice = 0.0, rng.random()
    if choice < 0.14:
        softness = float(rng.uniform(0.0006, 0.0035) * width)
        image = cv2.GaussianBlur(image, (0, 0), max(softness, 0.3))
    elif choice < 0.2:  # the camera moved
        length = max(int(rng.uniform(0.004, 0.018) * width), 2)
        kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
        way = rng.uniform(0, np.pi)
        reach = np.array([np.cos(way), np.sin(way)]) * length / 2
        ends = np.rint(np.stack([length - reach, length + reach])).astype(np.int32)
        cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 1.0)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
        softness = length / 3.5
    elif choice < 0.28:  # enlarged from a small file
        factor = rng.uniform(1.3, 2.2)
        small = (max(int(width / factor), 8), max(int(height / factor), 8))
        image = cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height))
        softness = factor / 2.5
    spread = rng.uniform(0.5, 5) if rng.random() < 0.7 else rng.uniform(5, 16)
    if exposure < 1:
        spread += 4
    # One noise tile, cut at a random offset per channel: a tenth of the cost of fresh noise.
    tile = rng.integers(-256, 257, (128, 160, 3)).astype(np.float32) * (spread / 148)
    rows, columns = -(-height // 128), -(-width // 160)
    noise = np.tile(tile.astype(np.int16), (rows, columns, 1))[:height, :width]
    return cv2.add(image, noise, dtype=cv2.CV_8U), softness


# --------------------------------------------------------------------------------------- labels


def _label(
    rng: np.random.Generator,
    image: np.ndarray,
    owner: np.ndarray,
    placed: list[_Placed],
    softness: float,
    size: int,
) -> Scene:
    height, width = owner.shape
    left = np.bincount(owner.ravel(), minlength=len(placed) + 1)
    limits = [scaled_height(value, size) for value in (50, 30, 10, 16)]
    rows = []
    for number, face in enumerate(placed, 1):
        figure = face.figure
        low = np.clip(figure.region.min(0), 0, (width, height))
        high = np.clip(figure.region.max(0), 0, (width, height))
        box = np.round(np.concatenate([low, high - low]), 2)
        tall = float(figure.region[:, 1].max() - figure.region[:, 1].min())
        free = left[number] / face.pixels
        shown = free * face.inside
        if shown < 0.2 or min(box[2:]) < 3:
            continue  # nobody would label what is hardly there
        clear = shown * (1 - figure.covered)
        blur = float(np.hypot(face.blur, softness / tall))
        invalid = shown < 0.4 or face.inside < 0.5 or blur > 0.13
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
