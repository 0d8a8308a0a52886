"""Shared by the tests of src/data: small trees in both layouts, samples, real data if present."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.types import Faces, Sample

ROOT = Path(__file__).parents[2]
NO_LANDMARKS = "-1.0 -1.0 -1.0 " * 5


class TreeBuilder:
    """Writes label files and images of WIDER FACE trees below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def image(self, path: Path, height: int = 60, width: int = 80) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Differing content: equal files in train and val are a fault.
        seed = sum(path.as_posix().encode())
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        assert cv2.imwrite(str(path), pixels)
        return path

    def retinaface(
        self,
        split: str,
        faces: Mapping[str, Sequence[str]],
        *,
        names_only: bool = False,
        images: bool = True,
    ) -> Path:
        """Label lines per image name; images are 60 x 80."""
        folder = self.root / split
        folder.mkdir(parents=True, exist_ok=True)
        if names_only:
            label_file = folder / "wider_val.txt"
            label_file.write_text("".join(f"/{name}\n" for name in faces))
        else:
            label_file = folder / "label.txt"
            lines = [line for name, rows in faces.items() for line in (f"# {name}", *rows)]
            label_file.write_text("\n".join(lines) + "\n")
        for name in faces if images else ():
            self.image(folder / "images" / name)
        return label_file

    def official(self, split: str, text: str, names: Sequence[str]) -> Path:
        """The text of the official label file; images are 60 x 80."""
        label_file = self.root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
        label_file.parent.mkdir(parents=True, exist_ok=True)
        label_file.write_text(text)
        for name in names:
            self.image(self.root / f"WIDER_{split}" / "images" / name)
        return label_file


@pytest.fixture
def tree(tmp_path: Path) -> TreeBuilder:
    return TreeBuilder(tmp_path / "wider")


@pytest.fixture(scope="session")
def row() -> Callable[..., str]:
    """``row("10 20 5 6")``: a line of 20 numbers without landmarks."""

    def build(box: str, *, quality: str = "1.0") -> str:
        return f"{box} {NO_LANDMARKS}{quality}"

    return build


@pytest.fixture
def small_tree(tree: TreeBuilder, row: Callable[..., str]) -> Path:
    """Five training and three validation images, one of each without faces."""
    faces = [row("10 12 20 24"), row("50 30 9 12")]
    train = {f"0--A/0_A_{i}.jpg": faces if i else [] for i in range(5)}
    tree.retinaface("train", train)
    tree.retinaface("val", {f"1--B/1_B_{i}.jpg": faces if i else [] for i in range(3)})
    return tree.root


@pytest.fixture(scope="session")
def make_sample() -> Callable[..., Sample]:
    """``make_sample(num_faces, height=..., width=..., seed=...)``: random pixels and faces."""

    def build(num_faces: int = 3, *, height: int = 120, width: int = 160, seed: int = 0) -> Sample:
        rng = np.random.default_rng(seed)
        size = rng.uniform(4, min(height, width) / 4, (num_faces, 2))
        low = rng.uniform(0, 1, (num_faces, 2)) * (np.array([width, height]) - size)
        boxes = np.concatenate([low, low + size], axis=1).astype(np.float32)
        # Where the five points of an upright face are, in fractions of its box.
        places = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
        landmarks = (low[:, None] + places * size[:, None]).astype(np.float32)
        has_landmarks = np.arange(num_faces) % 3 != 2
        landmarks[~has_landmarks] = 0
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        faces = Faces(boxes, landmarks, has_landmarks, np.zeros(num_faces, dtype=bool))
        return Sample(image, faces, "event/file.jpg")

    return build


@pytest.fixture(scope="session")
def widerface() -> Path:
    """The folder of real WIDER FACE files; skips where there is none."""
    folder = Path(os.environ.get("FEATHERFACE_SHARED", ROOT.parent / "shared")) / "widerface"
    if not folder.is_dir():
        pytest.skip(f"no WIDER FACE at {folder}; set FEATHERFACE_SHARED to the folder above it")
    return folder
