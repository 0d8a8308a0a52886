"""Shared by the tests of src/evaluation: the slow reference, random cases, real data if present."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.evaluation import ImageTruth

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def slow_wider_ap() -> Callable[..., dict[str, float]]:
    """The loop version of the protocol, loaded by its path: tests/ is no package."""
    path = ROOT / "tests" / "reference" / "slow_wider_ap.py"
    spec = importlib.util.spec_from_file_location("slow_wider_ap", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.slow_wider_ap


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real WIDER FACE data; skips where there is none."""
    folder = Path(os.environ.get("FEATHERFACE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set FEATHERFACE_SHARED to the folder that holds it")
    return folder


@pytest.fixture
def random_case() -> Callable[..., tuple[dict[str, np.ndarray], dict[str, ImageTruth]]]:
    """``random_case(seed, scores=...)``: crowded images whose detections lie near the faces."""
    return make_random_case


def make_random_case(
    seed: int, *, scores: str = "continuous", num_images: int = 6, per_image: int = 12
) -> tuple[dict[str, np.ndarray], dict[str, ImageTruth]]:
    """Predictions and truth; images without faces, without detections and without both occur."""
    rng = np.random.default_rng(seed)
    predictions, truth = {}, {}
    for i in range(num_images):
        num_faces, num_rows = rng.integers(0, per_image, 2) * (rng.random(2) > 0.2)
        side = np.exp(rng.uniform(np.log(4), np.log(150), (num_faces, 1)))
        boxes = np.concatenate([rng.uniform(0, 200, (num_faces, 2)), side, side * 1.2], axis=1)
        boxes = np.round(boxes)  # the official boxes are whole pixels
        hard = rng.random(num_faces) < 0.8
        medium = hard & (rng.random(num_faces) < 0.7)
        easy = medium & (rng.random(num_faces) < 0.7)
        truth[f"event/{i}.jpg"] = ImageTruth(boxes, easy, medium, hard)

        rows = np.concatenate([rng.uniform(0, 150, (num_rows, 4)), np.zeros((num_rows, 1))], axis=1)
        if num_faces:  # several detections per face, so that second hits and misses both occur
            near = rng.random(num_rows) < 0.7
            chosen = boxes[rng.integers(0, num_faces, num_rows)]
            moved = chosen * rng.uniform(0.9, 1.1, chosen.shape)
            rows[near, :4] = np.where(rng.random((num_rows, 1)) < 0.5, chosen, moved)[near]
        rows[:, 4] = make_scores(rng, scores, num_rows)
        predictions[f"event/{i}.jpg"] = rows
    return predictions, truth


def make_scores(rng: np.random.Generator, kind: str, count: int) -> np.ndarray:
    """Scores of one image, best first only for the kind ``sorted``."""
    return {
        "continuous": lambda: rng.random(count),
        "sorted": lambda: np.sort(rng.random(count))[::-1],
        # With 0 and 1 present the scaling changes nothing, so these lie exactly on thresholds.
        "thousandths": lambda: rng.choice([0, 1, *range(0, 1001, 7)], count) / 1000,
        "ties": lambda: rng.integers(1, 4, count) / 4,
        "equal": lambda: np.full(count, 0.7),
        "logits": lambda: rng.normal(0, 3, count),
    }[kind]()
