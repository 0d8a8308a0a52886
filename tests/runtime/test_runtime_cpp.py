"""The published decoded file in OpenCV alone, in Python and in the C++ example: our boxes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from src import checkpoint
from src.checkpoint import WEIGHTS
from src.deploy import ExportOptions, export_onnx
from src.detector import load_detector
from src.images.files import read_image
from src.images.resize import fit_inside, fit_long_side, pad
from src.types import MEAN_BGR

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
    return rows_of(found)


def rows_of(found):
    """Detections as lines of the example."""
    return torch.cat([found.boxes, found.scores[:, None], found.landmarks.flatten(1)], dim=1)


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


@pytest.fixture(scope="module", params=["opencv4", "opencv5"])
def program(request, tmp_path_factory):
    """The example, compiled with each OpenCV that is there."""
    file = tmp_path_factory.mktemp("compiled") / request.param
    command = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", str(EXAMPLE), "-o", str(file)]
    subprocess.run([*command, *flags(request.param)], check=True, capture_output=True)
    return file


def written(size, folder):
    """The flagship as a file for images of one size."""
    file = folder / "faces.onnx"
    export_onnx(checkpoint.load("flagship").model, file, ExportOptions(decode=True, size=size))
    return file


def found_by(program, *words):
    said = subprocess.run(
        [program, *map(str, words)], capture_output=True, text=True, check=True
    ).stdout
    return np.array([line.split() for line in said.splitlines()], dtype=float)


def assert_same(found, wanted):
    """Boxes and points to half a pixel, scores to a hundredth."""
    assert found.shape == wanted.shape
    np.testing.assert_allclose(np.delete(found, 4, axis=1), np.delete(wanted, 4, axis=1), atol=0.5)
    np.testing.assert_allclose(found[:, 4], wanted[:, 4], atol=0.01)


@pytest.mark.slow
def test_the_example_finds_the_same_in_a_file_of_one_size(program, photo, wanted, tmp_path):
    height, width = photo.shape[:2]
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    file = written((height, width), tmp_path)
    found = found_by(program, file, tmp_path / "photo.png", THRESHOLD, width, height)
    assert_same(found, wanted.numpy())


@pytest.mark.slow
def test_the_example_fits_a_photo_into_the_size(program, photo, tmp_path):
    height, width = 128, 352
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    fitted, scale = fit_inside(photo, height, width)
    assert fitted.shape[1] < width
    seen = rows_of(load_detector("flagship", score_threshold=THRESHOLD, device="cpu")(
        pad(fitted, height, width, MEAN_BGR)
    )).numpy()  # fmt: skip
    assert len(seen)
    seen[:, [0, 2, *range(5, 15, 2)]] /= scale[0]
    seen[:, [1, 3, *range(6, 15, 2)]] /= scale[1]
    file = written((height, width), tmp_path)
    assert_same(found_by(program, file, tmp_path / "photo.png", THRESHOLD, width, height), seen)


@pytest.mark.slow
@pytest.mark.real_data
def test_the_example_finds_the_same_faces_in_a_real_photo(program, shared, tmp_path):
    photo = min((shared / "widerface/val/images").rglob("*.jpg"))
    image = read_image(photo)
    fitted, _ = fit_long_side(image, 640)
    height, width = fitted.shape[:2]
    wanted = rows_of(load_detector("flagship", long_side=640, device="cpu")(image)).numpy()
    assert len(wanted)
    file = written((height, width), tmp_path)
    assert_same(found_by(program, file, photo, 0.5, width, height), wanted)


@pytest.mark.slow
def test_the_example_says_what_is_wrong(program, photo, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    mistakes = {
        (): "usage: ",
        (str(FILE), "none.jpg"): "expected an image in none.jpg, got none that can be read",
    }
    if program.name == "opencv4":  # which does not read a file of any size
        mistakes[str(FILE), str(tmp_path / "photo.png")] = "ynamicShape"
    for words, sentence in mistakes.items():
        ended = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        assert ended.returncode in (1, 2)
        assert sentence in ended.stderr


@pytest.mark.slow
def test_opencv_5_needs_no_size(program, photo, wanted, tmp_path):
    if program.name == "opencv4":
        pytest.skip("OpenCV 4 reads files of one size only")
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    assert_same(found_by(program, FILE, tmp_path / "photo.png", THRESHOLD), wanted.numpy())
