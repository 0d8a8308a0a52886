"""Labels improved by a teacher's detections, and the file that keeps these."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from src.detection.decoding import Decoder
from src.detection.inference import Views, detect
from src.distillation import DetectedFaces, LabelImprovement, Teacher
from src.types import Detections, Faces


def labels(boxes, *, landmarks=(), ignore=()) -> Faces:
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    has = np.isin(np.arange(len(boxes)), landmarks)
    points = np.where(has[:, None, None], 7.0, 0.0).astype(np.float32)
    points = np.broadcast_to(points, (len(boxes), 5, 2)).copy()
    return Faces(boxes, points, has, np.isin(np.arange(len(boxes)), ignore))


def detections(boxes, scores) -> Detections:
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    points = boxes[:, None, :2] + torch.arange(10.0).view(5, 2)
    return Detections(boxes, torch.tensor(scores, dtype=torch.float32), points)


NONE = detections([], [])
FACE = [100, 100, 140, 140]


def test_what_nobody_labelled_may_stay_background():
    found = detections([[300, 300, 320, 320], [101, 101, 140, 140]], [1.0, 0.9])
    improved = LabelImprovement(unlabelled=1)(labels([FACE]), found)
    assert improved.ignore.tolist() == [False]
    assert improved.has_landmarks.tolist() == [True]


def test_nothing_found_ignores_only_what_is_small():
    faces = labels([FACE, [10, 10, 19, 21], [10, 50, 20, 60], [5, 5, 9, 9]], ignore=[3])
    found = LabelImprovement()(faces, NONE)  # sizes 40, 9.9, 10 and 4 pixels
    assert found.ignore.tolist() == [False, True, False, True]
    for before, after in zip(faces[:3], found[:3], strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("box", "score", "ignored"),
    [
        ([10, 10, 18, 18], 0.06, False),  # the face itself
        ([14, 10, 22, 18], 0.06, False),  # an IoU of 1/3 is a sign
        ([10, 10, 18, 18], 0.04, True),  # a score below 0.05 is none
        ([17, 17, 25, 25], 0.9, True),  # nor is another face
    ],
)
def test_signs_of_small_faces(box, score, ignored):
    found = LabelImprovement()(labels([[10, 10, 18, 18]]), detections([box], [score]))
    assert found.ignore[0] == ignored


@pytest.mark.parametrize(
    ("box", "score", "added"),
    [
        ([300, 300, 320, 320], 0.31, True),
        ([300, 300, 320, 320], 0.29, False),
        ([120, 100, 160, 140], 0.9, False),  # IoU 1/3: a poor box of the face that is labelled
        ([130, 100, 170, 140], 0.9, True),  # IoU 1/7: its neighbour
    ],
)
def test_regions_to_ignore(box, score, added):
    faces = labels([FACE], landmarks=[0])
    found = LabelImprovement()(faces, detections([box], [score]))
    assert len(found.boxes) == 1 + added
    for before, after in zip(faces, found, strict=True):
        np.testing.assert_array_equal(before, after[:1])
    if added:
        np.testing.assert_array_equal(found.boxes[1], box)
        assert found.ignore[1]
        assert not found.has_landmarks[1]
        assert not found.landmarks[1].any()
    empty = LabelImprovement()(labels([]), detections([box], [score]))  # of an image without faces
    assert len(empty.boxes) == (score > 0.3)
    assert empty.ignore.all()


def test_boxes_and_landmarks_of_faces_that_both_know():
    faces = labels([FACE, [200, 200, 240, 240], [300, 300, 340, 340]], landmarks=[1], ignore=[2])
    boxes = [[104, 104, 144, 144], [205, 200, 245, 240], [300, 300, 340, 340]]
    other = [102, 112, 142, 152]  # overlaps the first face, but less than another does
    found = LabelImprovement(share=0.3)(faces, detections([*boxes, other], [0.9, 0.5, 0.9, 0.8]))
    np.testing.assert_allclose(found.boxes[0], np.array(FACE) + 0.3 * 4, rtol=1e-6)
    np.testing.assert_allclose(found.boxes[1], [201.5, 200, 241.5, 240], rtol=1e-6)
    np.testing.assert_array_equal(found.boxes[2], faces.boxes[2])  # ignored faces stay
    assert found.has_landmarks.tolist() == [True, True, False]
    np.testing.assert_array_equal(found.landmarks[0], 104 + np.arange(10).reshape(5, 2))
    np.testing.assert_array_equal(found.landmarks[1], faces.landmarks[1])  # the label's own stay
    assert faces.boxes[0].tolist() == FACE  # nothing is changed in place


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 1.5}, r"share from 0 to 1, got 1\.5; set data\.improvement\.rules\.share"),
        ({"unseen_below": -1}, "unseen_below of at least 0 pixels, got -1"),
    ],
)
def test_wrong_rules(settings, message):
    with pytest.raises(ValueError, match=message):
        LabelImprovement(**settings)


# The file


@pytest.fixture
def images(tmp_path):
    """Name -> file of three small pictures of differing size."""
    found = {}
    for number, (height, width) in enumerate([(48, 64), (40, 32), (33, 50)]):
        path = tmp_path / f"{number}.png"
        noise = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        cv2.imwrite(str(path), noise)
        found[f"event/{number}.png"] = path
    return found


@pytest.fixture
def teacher(make_detector, monkeypatch):
    """One that counts the images it looks at, and dies at one of them if it is told to."""
    network = make_detector(1, context="conv3x3").eval()
    for head in network.heads:
        torch.nn.init.constant_(head.classes.bias, 0.0)
    teacher = Teacher(network)
    looks, look = [], DetectedFaces._look

    def counted(self, teacher, path, device):
        if path.name == teacher.dies_at:
            raise KeyboardInterrupt
        looks.append(path.name)
        return look(self, teacher, path, device)

    monkeypatch.setattr(DetectedFaces, "_look", counted)
    teacher.looks, teacher.dies_at = looks, None
    return teacher


CPU = torch.device("cpu")


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_detections_are_those_of_the_scales(tmp_path, images, teacher):
    cache = DetectedFaces(tmp_path / "cache" / "a.npz", [1.0, 1.5], score_threshold=0.4)
    found = cache.find(teacher, images, CPU)
    assert list(found) == list(images)
    for name, path in images.items():
        image = cv2.imread(str(path))
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
        decoder = Decoder(score_threshold=0.4, nms_iou=0.4)
        (expected,) = detect(teacher, decoder, pixels, torch.ones(1, 2), Views((1.0, 1.5)))
        assert len(expected.boxes) > 3
        high = torch.tensor([image.shape[1], image.shape[0]] * 2)
        clipped = expected.boxes.clamp(min=0).minimum(high)
        whole = (clipped[:, 2:] > clipped[:, :2]).all(dim=1)
        torch.testing.assert_close(found[name].boxes, clipped[whole])
        torch.testing.assert_close(found[name].scores, expected.scores[whole])
        torch.testing.assert_close(found[name].landmarks, expected.landmarks[whole])


def test_every_image_is_looked_at_once(tmp_path, images, teacher):
    cache = DetectedFaces(tmp_path / "a.npz", [1.0])
    names = list(images)
    teacher.dies_at = "2.png"
    with pytest.raises(KeyboardInterrupt):
        cache.find(teacher, images, CPU)
    assert teacher.looks == ["0.png", "1.png"]
    teacher.dies_at = None
    whole = cache.find(teacher, images, CPU)  # goes on where it was killed
    assert teacher.looks == ["0.png", "1.png", "2.png"]
    part = cache.find(teacher, {name: images[name] for name in names[1:]}, CPU)
    assert list(part) == names[1:]
    assert all(same(part[name], whole[name]) for name in part)
    assert len(teacher.looks) == 3
    cv2.imwrite(str(images[names[0]]), np.zeros((20, 20, 3), np.uint8))  # another picture
    cache.find(teacher, images, CPU)
    assert teacher.looks[3:] == ["0.png"]


def test_a_damaged_file_is_made_again(tmp_path, images, teacher, caplog):
    cache = DetectedFaces(tmp_path / "a.npz", [1.0])
    before = cache.find(teacher, images, CPU)
    cache.file.write_bytes(cache.file.read_bytes()[:200])
    after = cache.find(teacher, images, CPU)
    assert "cannot be read" in caplog.text
    assert all(same(before[name], after[name]) for name in images)
    assert len(teacher.looks) == 6
