from __future__ import annotations

import numpy as np
import pytest

from src.images.drawing import GREEN, contact_sheet, draw_faces

BOXES = np.array([[20, 30, 60, 80], [100.4, 10.2, 140, 50]])


@pytest.fixture
def image() -> np.ndarray:
    return np.full((120, 200, 3), 128, dtype=np.uint8)


def test_boxes_are_drawn_on_a_copy(image: np.ndarray) -> None:
    drawn = draw_faces(image, BOXES)
    assert (image == 128).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert tuple(drawn[30, 40]) == GREEN  # on the upper edge
    assert tuple(drawn[55, 40]) == (128, 128, 128)  # inside
    assert tuple(drawn[100, 180]) == (128, 128, 128)  # elsewhere


def test_scores_and_landmarks_add_to_the_picture(image: np.ndarray) -> None:
    landmarks = np.zeros((2, 5, 2))
    landmarks[0] = [[30, 45], [50, 45], [40, 55], [32, 70], [48, 70]]
    plain = draw_faces(image, BOXES)
    with_points = draw_faces(image, BOXES, landmarks=landmarks)
    assert tuple(with_points[45, 30]) == (0, 0, 255)  # the left eye is red
    assert not np.array_equal(draw_faces(image, BOXES, scores=np.array([0.9, 0.1])), plain)
    # A face whose landmarks are all zero has none.
    np.testing.assert_array_equal(with_points[:30], plain[:30])


@pytest.mark.parametrize("boxes", [np.zeros((0, 4)), [], [[-50, -50, 900, 900]], [[5, 5, 6, 6]]])
def test_no_faces_and_boxes_beyond_the_border(image: np.ndarray, boxes) -> None:
    scores = np.ones(len(boxes))
    assert draw_faces(image, boxes, scores=scores).shape == image.shape


@pytest.mark.parametrize("name", ["scores", "landmarks"])
def test_unequal_counts_are_refused(image: np.ndarray, name: str) -> None:
    with pytest.raises(ValueError, match=f"as many {name} as boxes, got 3 for 2 boxes"):
        draw_faces(image, BOXES, **{name: np.zeros((3, 5, 2))})


@pytest.mark.parametrize(
    ("count", "columns", "shape"),
    [
        (1, 4, (58, 58, 3)),
        (4, 4, (58, 220, 3)),
        (5, 2, (166, 112, 3)),
    ],
)
def test_contact_sheet_size(image: np.ndarray, count: int, columns: int, shape: tuple) -> None:
    assert contact_sheet([image] * count, columns=columns, tile=50).shape == shape


def test_contact_sheet_keeps_the_shape_of_images(image: np.ndarray) -> None:
    sheet = contact_sheet([image], tile=50)
    assert (sheet == 128).all(axis=2).sum() == 50 * 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": []}, "expected at least one image for a contact sheet"),
        ({"images": [np.zeros((2, 2, 3), np.uint8)], "tile": 0}, "got columns=4, tile=0"),
    ],
)
def test_contact_sheet_errors(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contact_sheet(**arguments)
