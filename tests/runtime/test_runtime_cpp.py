"""The published decoded file in OpenCV alone, in Python and in the C++ example: our boxes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.checkpoint import WEIGHTS
from src.detector import load_detector

EXAMPLE = Path(__file__).resolve().parents[2] / "runtime" / "examples" / "faces.cpp"
FILE = WEIGHTS / "flagship_decoded.onnx"
THRESHOLD = 0.05


@pytest.fixture(scope="module")
def photo():
    """Something with boxes above the threshold: discs with eyes on noise."""
    image = np.random.default_rng(0).integers(90, 160, (173, 230, 3), dtype=np.uint8)
    for x, y, radius in ((60, 70, 35), (160, 100, 50)):
        cv2.ellipse(image, (x, y), (radius * 3 // 4, radius), 0, 0, 360, (140, 170, 215), -1)
        for side in (-1, 1):
            cv2.circle(image, (x + side * radius // 3, y - radius // 4), 4, (30, 30, 30), -1)
        cv2.ellipse(image, (x, y + radius // 2), (radius // 3, 4), 0, 0, 360, (60, 60, 150), -1)
    return image


@pytest.fixture(scope="module")
def wanted(photo):
    found = load_detector("flagship", score_threshold=THRESHOLD, device="cpu")(photo)
    assert len(found.scores) > 0
    return np.concatenate([found.boxes, found.scores[:, None], found.landmarks.flatten(1)], axis=1)


def test_opencv_reads_the_published_file(photo, wanted):
    net = cv2.dnn.readNetFromONNX(str(FILE))
    net.setInput(cv2.dnn.blobFromImage(photo))
    boxes, scores, points = net.forward(["boxes", "scores", "landmarks"])
    (sure,) = (scores[0] > THRESHOLD).nonzero()
    corners = boxes[0, sure]
    sizes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = sure[list(cv2.dnn.NMSBoxes(sizes.tolist(), scores[0, sure].tolist(), THRESHOLD, 0.4,
                                      top_k=5000))]  # fmt: skip
    found = np.concatenate(
        [boxes[0, kept], scores[0, kept, None], points[0, kept].reshape(-1, 10)], axis=1
    )
    np.testing.assert_allclose(found, wanted, atol=0.01)


def flags(package):
    """What a compiler needs for OpenCV's C++ files; the test is skipped without them."""
    if shutil.which("g++") is None or shutil.which("pkg-config") is None:
        pytest.skip("no g++ or no pkg-config")
    asked = subprocess.run(
        ["pkg-config", "--cflags", "--libs", package], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        pytest.skip(f"no C++ files of OpenCV here: pkg-config does not know {package}")
    return asked.stdout.split()


def compiled(package, folder):
    program = folder / "faces"
    command = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", str(EXAMPLE), "-o", str(program)]
    subprocess.run([*command, *flags(package)], check=True, capture_output=True)
    return program


@pytest.mark.slow
def test_the_example_finds_the_same(photo, wanted, tmp_path):
    program = compiled("opencv5", tmp_path)
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    words = [str(program), str(FILE), str(tmp_path / "photo.png"), str(THRESHOLD)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = np.array([line.split() for line in said.splitlines()], dtype=float)
    np.testing.assert_allclose(found, wanted, atol=0.02)


@pytest.mark.slow
def test_the_example_compiles_with_opencv_4_and_says_what_that_lacks(photo, tmp_path):
    program = compiled("opencv4", tmp_path)
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    for words, sentence in {
        (): "usage: ",
        (str(FILE), "none.jpg"): "expected an image in none.jpg, got none that can be read",
        (str(FILE), str(tmp_path / "photo.png")): "ynamicShape",
    }.items():
        ended = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        assert ended.returncode in (1, 2)
        assert sentence in ended.stderr
