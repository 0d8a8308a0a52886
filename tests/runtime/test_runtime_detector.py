"""The package ``featherface`` from Python: the same faces as the project, without the project."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

import featherface
from featherface import MODELS, Detector, Face, Faces, images, models, read_image
from src.detector import load_detector
from src.synthetic.scene import draw_scene

PACKAGE = Path(featherface.__file__).parent
ROOT = PACKAGE.parents[1]
PIXELS = 0.5
"""Largest difference of a side of a box."""


@pytest.fixture(scope="module")
def detector() -> Detector:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return Detector(threshold=0.02, session_options=options)


def scene(index=0, size=256):
    return draw_scene(np.random.default_rng((5, index)), "Group", size).image


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_same(found: Faces, expected, threshold: float) -> None:
    """Every box has one of the other's in its place, whichever side of the threshold it is on."""
    boxes, scores, landmarks = (value.numpy() for value in expected)
    pairs = (found.boxes, found.scores, boxes), (boxes, scores, found.boxes)
    for own, own_scores, others in pairs:
        sure = own[own_scores > threshold + 1e-4]
        if len(sure):
            assert len(others)
            assert np.abs(sure[:, None] - others[None]).max(axis=2).min(axis=1).max() < PIXELS
    if len(boxes) == len(found) and len(boxes):
        assert np.abs(found.scores - scores).max() < 1e-3
        assert np.abs(found.landmarks[0] - landmarks[0]).max() < PIXELS


@pytest.mark.parametrize("size", [None, 160, 400])
def test_faces_are_those_of_the_project(detector, size):
    reference = load_detector("flagship", score_threshold=0.02, long_side=size, device="cpu")
    detector.size = size
    pictures = [scene(0), scene(1, 200), noise(97, 131), noise(33, 31), noise(1, 1)]
    for image, found in zip(pictures, detector.detect_batch(pictures), strict=True):
        assert_same(found, reference(image), 0.02)
    detector.size = None
    assert len(detector(scene())) > 0


@pytest.mark.real_data
def test_faces_of_photos_are_those_of_the_project(shared, detector):
    reference = load_detector("flagship", score_threshold=0.02, device="cpu")
    for file in sorted((shared / "widerface/val/images").rglob("*.jpg"))[::40]:
        image = read_image(file)
        np.testing.assert_array_equal(image, cv2.imread(str(file)))
        assert_same(detector(image), reference(image), 0.02)


def test_faces_are_arrays_and_a_sequence(detector):
    faces = detector(scene())
    count = len(faces)
    assert faces.boxes.shape == (count, 4)
    assert faces.landmarks.shape == (count, 5, 2)
    assert {faces.boxes.dtype, faces.scores.dtype, faces.landmarks.dtype} == {np.dtype(np.float32)}
    assert (np.diff(faces.scores) <= 0).all()
    first = next(iter(faces))
    assert isinstance(first, Face)
    np.testing.assert_array_equal(first.box, faces.boxes[0])
    assert first.score == faces.scores[0]


def test_batch_keeps_the_order_and_the_faces(detector):
    pictures = [scene(0), noise(40, 60), scene(1), noise(60, 40)]
    for image, found in zip(pictures, detector.detect_batch(pictures), strict=True):
        alone = detector(image)
        assert len(found) == len(alone)
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=0.01)
    assert detector.detect_batch([]) == []


def test_no_faces():
    faces = Detector(threshold=1)(noise(40, 60))
    assert len(faces) == 0
    assert faces.boxes.shape == (0, 4)
    assert list(faces) == []


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"BGR image \[H, W, 3\] as read_image gives it, got \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"got \(4, 4, 4\)"),
        (np.zeros((4, 4, 3)), r"uint8 pixels .* got float64"),
        (np.zeros((0, 4, 3), np.uint8), r"no empty side, got uint8 \(0, 4, 3\)"),
        ("photo.jpg", "got str"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_image(detector, image, message):
    with pytest.raises(ValueError, match=message):
        detector(image)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"threshold": 1.5}, ValueError, r"threshold in \[0, 1\] .* got 1\.5"),
        ({"nms_iou": 0}, ValueError, r"nms_iou in \(0, 1\]"),
        ({"size": 0}, ValueError, "size from 1 to 65,536 pixels, or none, got 0"),
        ({"model": "flagshop"}, FileNotFoundError, "model of .*flagship.* none at flagshop"),
        ({"providers": ["quantum"]}, ValueError, "providers among .*cpu.*, got quantum"),
    ],
)
def test_wrong_settings(settings, error, message):
    with pytest.raises(error, match=message):
        Detector(**settings)


def test_session_options_reach_the_runtime(tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    assert len(Detector(session_options=options)(noise(64, 64))) == 0
    assert (tmp_path / "optimised.onnx").is_file()


def test_providers_are_named_short_or_whole(detector):
    assert Detector(providers=["CPUExecutionProvider"]).model.providers == ["CPUExecutionProvider"]
    assert detector.model.providers == ["CPUExecutionProvider"]


# Models


def test_own_file_is_used(detector, tmp_path):
    own = Path(shutil.copy(ROOT / "weights/flagship_decoded.onnx", tmp_path / "own.onnx"))
    found, expected = Detector(own, threshold=0.02)(scene()), detector(scene())
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.01)
    assert Detector(own).model.metadata["parameters"] > 0


def test_raw_outputs_are_refused():
    with pytest.raises(ValueError, match=r"boxes, scores, landmarks, got .*logits.*decode=true"):
        Detector(ROOT / "weights/flagship.onnx")


def test_another_file_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_text("nothing")
    with pytest.raises(ValueError, match=r"ONNX file that ONNX Runtime .* can run .*a\.onnx"):
        Detector(tmp_path / "a.onnx")


def test_changed_weights_are_refused(tmp_path, monkeypatch):
    for file in models.WEIGHTS.iterdir():
        shutil.copy(file, tmp_path)
    with (tmp_path / "flagship_decoded.onnx").open("ab") as file:
        file.write(b"!")
    monkeypatch.setattr(models, "WEIGHTS", tmp_path)
    with pytest.raises(ValueError, match="as it was published, got other bytes"):
        Detector()


def test_weights_are_those_of_the_project():
    """Links, so that there is one copy; a checkout without links would have small text files."""
    assert "flagship" in MODELS
    for file in (PACKAGE / "weights").iterdir():
        assert file.resolve() == ROOT / "weights" / file.name
    assert (PACKAGE.parent / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("name", MODELS)
def test_the_card_has_the_figures_of_the_project(name):
    rows = re.findall(r"^\| (.+) \|$", (ROOT / "weights/README.md").read_text(), re.M)
    (row,) = (row for row in rows if row.startswith(f"`{name}`"))
    _, parameters, *figures = row.split(" | ")[:5]
    card = (PACKAGE.parent / "README.md").read_text()
    assert f"{parameters} parameters" in card
    assert " / ".join(figures) in card


# Files and pictures


def test_unreadable_files(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ValueError, match=r"empty\.jpg: expected an image .* got a damaged one"):
        read_image(tmp_path / "empty.jpg")
    with pytest.raises(ValueError, match=r"none\.jpg: .*No such file"):
        read_image(tmp_path / "none.jpg")


@pytest.mark.parametrize(
    ("box", "shape"),
    [((2, 3, 6, 9), (6, 4)), ((-5, -5, 4, 4), (4, 4)), ((-9, 0, -4, 5), (5, 0))],
)
def test_crops_end_where_the_image_does(box, shape):
    assert images.crop(noise(20, 30), np.array(box)).shape[:2] == shape


def test_drawing_leaves_the_image():
    image = np.zeros((60, 60, 3), np.uint8)
    faces = Faces(np.array([[10, 10, 40, 50]]), np.array([0.9]), np.full((1, 5, 2), 25.0))
    plain, marked = (images.draw_faces(image, faces, landmarks=flag) for flag in (False, True))
    assert not image.any()
    assert plain[30, 10].any()
    assert not plain[25, 25].any()
    assert marked[25, 25].any()


# Packages


def test_supervision(detector, monkeypatch):
    given = types.SimpleNamespace(Detections=lambda **values: values)
    monkeypatch.setitem(sys.modules, "supervision", given)
    faces = detector(scene())
    converted = faces.to_supervision()
    assert converted["xyxy"] is faces.boxes
    assert converted["class_id"].tolist() == [0] * len(faces)
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        faces.to_supervision()


def test_nothing_else_is_imported():
    allowed = {
        "featherface",
        "numpy",
        "cv2",
        "onnxruntime",
        "supervision",
        *sys.stdlib_module_names,
    }
    service = {"fastapi", "fastapi_offline", "pydantic", "starlette", "uvicorn"}
    for file in PACKAGE.glob("*.py"):
        others = service if file.stem in ("service", "serving") else set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert {name.split(".")[0] for name in names} <= allowed | others, (
                f"{file}:{node.lineno}"
            )


@pytest.mark.parametrize("missing", ["cv2", "onnxruntime"])
def test_missing_packages_are_one_sentence(missing, tmp_path):
    (tmp_path / "photo.jpg").touch()
    code = (
        f"import sys; sys.modules['{missing}'] = None; from featherface.cli import main; "
        "sys.exit(main(['photo.jpg']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(PACKAGE.parent)},
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: expected OpenCV and ONNX Runtime, got: import of")
    assert ended.stderr.count("\n") == 1
    assert not ended.stdout


def test_unknown_names():
    with pytest.raises(AttributeError, match="no attribute 'Detektor'"):
        featherface.Detektor  # noqa: B018
    assert set(featherface.__all__) <= {*featherface._MODULES}
