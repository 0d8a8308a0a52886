"""Pipes in a tree of labelled images, which a reader could wait for without an end."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.data.reading import inspect_split, read_split


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("images/train", "labels/train"):
        (tmp_path / folder).mkdir(parents=True)
    image = cv2.imencode(".png", np.zeros((20, 20, 3), np.uint8))[1].tobytes()
    (tmp_path / "images/train/a.png").write_bytes(image)
    (tmp_path / "labels/train/a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    return tmp_path


def test_an_image_that_is_a_pipe(tree: Path) -> None:
    (tree / "train/images").mkdir(parents=True)
    (tree / "train/label.txt").write_text("# b.png\n1 2 3 4\n")
    os.mkfifo(tree / "train/images/b.png")
    (problem,) = inspect_split(tree, "train").problems
    assert str(problem).startswith(f"{tree}/train/images/b.png: expected a file, got a pipe")
    os.mkfifo(tree / "images/train/b.png")
    assert len(read_split(tree, "train", layout="yolo").annotations) == 1


def test_labels_that_are_a_pipe(tree: Path) -> None:
    os.mkfifo(tree / "labels/train/b.txt")
    assert len(read_split(tree, "train", layout="yolo").annotations) == 1


def test_an_image_that_claims_more_than_the_setting(tree: Path) -> None:
    (problem,) = inspect_split(tree, "train", layout="yolo", max_pixels=399).problems
    assert "expected at most 399 pixels, got 20 x 20; make it smaller, or set" in str(problem)
