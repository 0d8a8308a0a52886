"""A head as a curved surface that is posed and projected, so that its landmarks are known exactly.

Head coordinates: x to the right, y down, z towards the viewer, hairline at y = -1, chin at y = 1.
Features are given as frontal (x, y), lifted onto the surface, rotated by yaw, pitch and roll and
projected without perspective; the landmarks go the same way, so they are right for every pose.
Proportions are the usual drawing canon (the thirds hairline, brow, nose base, chin; five eye
widths across). Nothing is taken from any photograph.
"""

from __future__ import annotations

import cv2
import numpy as np

# Outline of the head: y, half width and depth of the front at y.
_PROFILE = np.array([
    (-1.42, 0.02, 0.05), (-1.40, 0.20, 0.20), (-1.36, 0.34, 0.33), (-1.28, 0.48, 0.46),
    (-1.15, 0.60, 0.58), (-1.0, 0.675, 0.67), (-0.75, 0.735, 0.75), (-0.5, 0.765, 0.79),
    (-0.1, 0.775, 0.81), (0.3, 0.73, 0.81), (0.5, 0.675, 0.81), (0.65, 0.605, 0.82),
    (0.78, 0.51, 0.82), (0.88, 0.405, 0.8), (0.95, 0.30, 0.75), (1.0, 0.17, 0.68),
])  # fmt: skip
_PROFILE_Y, _HALF_WIDTH, _DEPTH = _PROFILE.T


class Head:
    """Shape and pose of one head; turns head coordinates into image pixels.

    Args:
        rng: decides shape and pose.
        center: [2], x and y of the head, image pixels.
        height: hairline to chin when seen from the front, image pixels.
    """

    def __init__(self, rng: np.random.Generator, center: np.ndarray, height: float):
        self.center, self.scale = center, height / 2
        # Mostly near frontal and upright, with long tails.
        self.yaw = float(np.clip(rng.normal(0, 24), -58, 58))
        self.pitch = float(np.clip(rng.normal(3, 9), -24, 26))
        self.roll = float(np.clip(rng.normal(0, 9) * rng.choice([0.6, 2.0]), -40, 40))
        jaw = rng.uniform(0.85, 1.2)
        self._half_width = _HALF_WIDTH * rng.uniform(0.92, 1.1)
        self._half_width[_PROFILE_Y > 0.4] *= jaw
        yaw, pitch, roll = np.deg2rad([self.yaw, self.pitch, self.roll])
        cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
        cr, sr = np.cos(roll), np.sin(roll)
        turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        self.rotation = tilt @ nod @ turn

    def half_width_at(self, y: np.ndarray | float) -> np.ndarray:
        """Half the width of the head at height ``y``, in the shape of ``y``."""
        return np.asarray(np.interp(y, _PROFILE_Y, self._half_width))

    def space(self, points: np.ndarray) -> np.ndarray:
        """Head coordinates [M, 3] to image pixels [M, 2]."""
        return (points @ self.rotation.T)[:, :2] * self.scale + self.center

    def lift(self, points: np.ndarray, height: float = 0.0) -> np.ndarray:
        """Frontal (x, y) [M, 2] to the surface, raised by ``height``; [M, 3]."""
        x, y = points[:, 0], points[:, 1]
        wide = self.half_width_at(y)
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
        wide = float(self.half_width_at(y))
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
        wide = self.half_width_at(y) * grow
        deep = np.interp(y, _PROFILE_Y, _DEPTH) * grow
        x, z = wide * np.sin(angle), deep * np.cos(angle)
        tall = np.broadcast_to(np.where(y < 0, y * grow, y), x.shape)
        mesh = np.stack([x, tall, z], 2).reshape(-1, 3)
        if back:
            rear = np.stack([x, tall, -z / deep * wide * back], 2).reshape(-1, 3)
            mesh = np.concatenate([mesh, rear])
        flat = self.space(mesh).astype(np.float32)
        return cv2.convexHull(flat)[:, 0].astype(np.float64)
