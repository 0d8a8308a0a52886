"""Resizing: sizes, and where a point of the image is afterwards."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from src.images.resize import fit_long_side, resize


@pytest.mark.parametrize(
    ("height", "width", "long_side", "expected"),
    [
        (120, 160, 640, (480, 640)),
        (160, 120, 64, (64, 48)),
        (427, 1023, 320, (134, 320)),
        (3, 1000, 64, (1, 64)),  # three rows are a fifth of one
        (1000, 1, 64, (64, 1)),
        (1, 1, 64, (64, 64)),
    ],
)
def test_the_longer_side_fits(
    height: int, width: int, long_side: int, expected: tuple[int, int]
) -> None:
    image, scale = fit_long_side(np.zeros((height, width, 3), np.uint8), long_side)
    assert image.shape == (*expected, 3)
    assert scale == (expected[1] / width, expected[0] / height)


def test_an_image_that_fits_is_left_alone() -> None:
    image = np.zeros((30, 40, 3), np.uint8)
    assert fit_long_side(image, 40)[0] is image


@pytest.mark.parametrize("long_side", [320, 333, 1500])
def test_the_scale_says_where_a_point_is(long_side: int) -> None:
    image = np.zeros((427, 1023), np.float32)
    image[380:410, 40:90] = 1  # centre (65, 395)
    result, scale = fit_long_side(image, long_side)
    rows, columns = np.mgrid[: result.shape[0], : result.shape[1]] + 0.5
    centre = np.array([(result * columns).sum(), (result * rows).sum()]) / result.sum()
    # Averages of the pixels at the border of the square move its centre by up to 0.02.
    np.testing.assert_allclose(centre / scale, [65, 395], atol=0.03)


def test_shrinking_averages() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    expected = image.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize(image, 30, 20) - expected).max() <= 0.5
    larger = cv2.resize(image, (90, 60), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize(image, 90, 60), larger)
