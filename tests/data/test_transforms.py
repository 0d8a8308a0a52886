from __future__ import annotations

import math
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from src.data.transforms import (
    AnchorSampling,
    ColourDistortion,
    Compose,
    PadToSquare,
    RandomMirror,
    RandomSquareCrop,
    Resize,
    Transform,
    cut_square,
)
from src.types import MEAN_BGR, Faces, Sample

RECIPE = Compose(
    [RandomSquareCrop(), ColourDistortion(), PadToSquare(), RandomMirror(), Resize(64)]
)
EACH = [
    *RECIPE.transforms, RandomMirror(p=1), RandomSquareCrop(scales=[0.5, 1.3, 2]),
    AnchorSampling(size=64, p=1), AnchorSampling(size=640, p=1),
    Resize(64, random_interpolation=False),
]  # fmt: skip


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def assert_equal(first: Sample, second: Sample) -> None:
    np.testing.assert_array_equal(first.image, second.image)
    for a, b in zip(first.faces, second.faces, strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.name == second.name


# --- every transform ---------------------------------------------------------------------------


@pytest.mark.parametrize("transform", [*EACH, RECIPE], ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("num_faces", [0, 1, 7])
def test_types_shapes_determinism_and_an_untouched_input(
    make_sample: Callable[..., Sample], transform: Transform, num_faces: int
) -> None:
    for seed in range(5):
        sample = make_sample(num_faces, seed=seed)
        before = make_sample(num_faces, seed=seed)
        result = transform(sample, rng(seed))
        assert_equal(sample, before)
        assert_equal(result, transform(sample, rng(seed)))
        kept = len(result.faces.boxes)
        assert kept <= num_faces
        assert result.image.dtype == np.uint8
        assert result.image.ndim == 3
        assert result.faces.boxes.dtype == result.faces.landmarks.dtype == np.float32
        assert result.faces.boxes.shape == (kept, 4)
        assert result.faces.landmarks.shape == (kept, 5, 2)
        assert result.faces.has_landmarks.dtype == result.faces.ignore.dtype == bool
        assert not result.faces.landmarks[~result.faces.has_landmarks].any()
        height, width = result.image.shape[:2]
        assert (result.faces.boxes >= 0).all()
        assert (result.faces.boxes <= np.array([width, height, width, height]) + 1e-3).all()
        assert (result.faces.boxes[:, 2:] > result.faces.boxes[:, :2]).all()


def test_dense_images_are_fast(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample(1900, height=700, width=1024)
    start = time.perf_counter()
    for seed in range(10):
        result = RECIPE(sample, rng(seed))
        assert 0 < len(result.faces.boxes) < 1900
    # Measured: 5 ms. A Python loop over attempts and faces would not pass.
    assert (time.perf_counter() - start) / 10 < 0.25


def test_compose_of_nothing_returns_the_sample(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample()
    assert Compose([])(sample, rng()) is sample


def test_compose_takes_names(make_sample: Callable[..., Sample]) -> None:
    """Which the command line needs to change the settings of one."""
    names = ("crop", "colour", "pad", "mirror", "resize")
    named = Compose(dict(zip(names, RECIPE.transforms, strict=True)))
    assert named == RECIPE
    assert_equal(named(make_sample(3), rng(1)), RECIPE(make_sample(3), rng(1)))


def test_compose_refuses_settings() -> None:
    with pytest.raises(TypeError, match=r"got dict; in YAML give Compose the line '_convert_: all"):
        Compose([{"size": 3}])  # type: ignore[list-item]


# --- crop --------------------------------------------------------------------------------------


def test_crop_keeps_the_geometry_relative_to_the_pixels(
    make_sample: Callable[..., Sample],
) -> None:
    """Every pixel holds its own coordinates, so what a box points at can be read back."""
    rows, columns = np.mgrid[0:120, 0:160]
    image = np.stack([rows, columns, rows * 0], axis=2).astype(np.uint8)
    for seed in range(30):
        sample = make_sample(4, seed=seed)._replace(image=image)
        cropped = RandomSquareCrop()(sample, rng(seed))
        side = cropped.image.shape[0]
        assert cropped.image.shape[:2] == (side, side) or cropped.image.shape == image.shape
        top, left = (int(value) for value in cropped.image[0, 0, :2])
        low = np.array([left, top], dtype=np.float32)
        high = low + np.array(cropped.image.shape[1::-1], dtype=np.float32)
        centres = (sample.faces.boxes[:, :2] + sample.faces.boxes[:, 2:]) / 2
        inside = ((centres > low) & (centres < high)).all(axis=1)
        expected = np.clip(sample.faces.boxes[inside], np.tile(low, 2), np.tile(high, 2))
        np.testing.assert_allclose(cropped.faces.boxes, expected - np.tile(low, 2), atol=1e-4)
        has = cropped.faces.has_landmarks
        np.testing.assert_allclose(
            cropped.faces.landmarks[has], sample.faces.landmarks[inside][has] - low, atol=1e-4
        )
        whole = (sample.faces.boxes[:, :2] >= low) & (sample.faces.boxes[:, 2:] <= high)
        assert whole.all(axis=1).any()


def test_crop_sides_are_the_scales_of_the_short_side(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample(0, height=100, width=300)
    crop = RandomSquareCrop(scales=[0.3, 0.5, 1.0])
    sides = {crop(sample, rng(seed)).image.shape[:2] for seed in range(40)}
    assert sides == {(30, 30), (50, 50), (100, 100)}


def test_crop_reaches_every_position_of_the_image(make_sample: Callable[..., Sample]) -> None:
    image = np.tile(np.arange(6, dtype=np.uint8)[None, :, None], (4, 1, 3))
    sample = make_sample(0)._replace(image=image)
    crop = RandomSquareCrop(scales=(1.0,))
    assert {int(crop(sample, rng(seed)).image[0, 0, 0]) for seed in range(40)} == {0, 1, 2}


def test_crop_gives_up_when_no_face_fits(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample(1)
    large = sample.faces._replace(boxes=np.array([[0, 0, 159, 119]], dtype=np.float32))
    sample = sample._replace(faces=large)
    assert RandomSquareCrop()(sample, rng()) is sample


def test_crop_asks_nothing_of_ignored_faces(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample(1)
    faces = sample.faces._replace(
        boxes=np.array([[0, 0, 159, 119]], dtype=np.float32), ignore=np.array([True])
    )
    assert RandomSquareCrop()(sample._replace(faces=faces), rng()).image.shape[0] <= 120


def test_crop_of_a_single_pixel() -> None:
    none = np.zeros((0, 4), np.float32)
    faces = Faces(none, np.zeros((0, 5, 2), np.float32), np.zeros(0, bool), np.zeros(0, bool))
    sample = Sample(np.zeros((1, 1, 3), np.uint8), faces, "e/f.jpg")
    assert RandomSquareCrop()(sample, rng()).image.shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": ()}, "expected crop scales above 0 and up to 2, got \\[\\]"),
        ({"scales": (0.5, 2.1)}, "got \\[0.5, 2.1\\]"),
        ({"attempts": 0}, "at least 1 crop attempt, got attempts=0"),
    ],
)
def test_crop_errors(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomSquareCrop(**arguments)


def test_squares_within_the_image_are_those_of_before(make_sample: Callable[..., Sample]) -> None:
    """Bit for bit: the random numbers are drawn as they were when none could hang over."""
    for seed in range(20):
        sample = make_sample(0, height=100 + seed, width=150)
        generator, crop = rng(seed), RandomSquareCrop()
        sides = (generator.choice(crop.scales, size=250) * (100 + seed)).astype(np.int64)
        left = generator.integers(0, 150 - sides + 1)[0]
        top = generator.integers(0, 100 + seed - sides + 1)[0]
        expected = sample.image[top : top + sides[0], left : left + sides[0]]
        np.testing.assert_array_equal(crop(sample, rng(seed)).image, expected)


def test_a_square_that_hangs_over_shows_the_mean_colour_outside(
    make_sample: Callable[..., Sample],
) -> None:
    """Against an image with a broad frame, from which the same square is cut."""
    sample = make_sample(6, height=40, width=60, seed=3)
    frame, landmarks = 100, sample.faces.has_landmarks[:, None, None]
    framed = np.full((40 + 2 * frame, 60 + 2 * frame, 3), MEAN_BGR, np.uint8)
    framed[frame:-frame, frame:-frame] = sample.image
    moved = sample.faces._replace(
        boxes=sample.faces.boxes + frame, landmarks=sample.faces.landmarks + frame * landmarks
    )
    for left, top, side in [(-7, -9, 80), (-30, 5, 50), (20, -50, 70), (40, 20, 60), (3, 4, 30)]:
        found = cut_square(sample, left, top, side)
        expected = cut_square(
            sample._replace(image=framed, faces=moved), left + frame, top + frame, side
        )
        np.testing.assert_array_equal(found.image, expected.image)
        for a, b in zip(found.faces, expected.faces, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
        centres = (sample.faces.boxes[:, :2] + sample.faces.boxes[:, 2:]) / 2 - [left, top]
        assert len(found.faces.boxes) == ((centres > 0) & (centres < side)).all(axis=1).sum()


@pytest.mark.parametrize("scale", [1.0, 1.25, 2.0])
def test_large_squares_hold_the_image_anywhere(
    make_sample: Callable[..., Sample], scale: float
) -> None:
    """Every pixel holds its own coordinates and is found where the faces say it is."""
    rows, columns = np.mgrid[0:40, 0:60]
    image = np.stack([rows, columns, rows * 0 + 255], axis=2).astype(np.uint8)
    sample = make_sample(3, height=40, width=60)._replace(image=image)
    crop, origins, side = RandomSquareCrop(scales=[scale]), set(), int(40 * scale)
    for seed in range(60):
        found = crop(sample, rng(seed))
        assert found.image.shape == (side, side, 3)
        shown = np.argwhere(found.image[..., 2] == 255)
        row, column = shown[0]
        top, left = np.array([row, column]) - found.image[row, column, :2]
        origins.add((left, top))
        assert len(shown) == min(side, 40) * min(side, 60)  # as much of the image as there can be
        outside = found.image[found.image[..., 2] != 255]
        assert (outside == MEAN_BGR).all()
        centres = (sample.faces.boxes[:, :2] + sample.faces.boxes[:, 2:]) / 2 + [left, top]
        kept = ((centres > 0) & (centres < side)).all(axis=1)
        assert len(found.faces.boxes) == kept.sum()
        uncut = (sample.faces.boxes + np.tile([left, top], 2))[kept]
        np.testing.assert_allclose(found.faces.boxes, np.clip(uncut, 0, side), atol=1e-4)
        np.testing.assert_array_equal(found.faces.ignore, sample.faces.ignore[kept])
    assert len(origins) > 15


# --- data-anchor sampling ----------------------------------------------------------------------


def one_face(box: tuple[float, ...], height: int = 300, width: int = 400) -> Sample:
    landmarks = np.tile(np.array(box, np.float32).reshape(2, 2).mean(axis=0), (1, 5, 1))
    faces = Faces(np.array([box], np.float32), landmarks, np.array([True]), np.array([False]))
    noise = rng(0).integers(1, 255, (height, width, 3), dtype=np.uint8)
    return Sample(noise, faces, "e/f.jpg")


@pytest.mark.parametrize("side", [10, 20, 60, 140, 290])
def test_the_face_gets_a_size_from_half_the_smallest_to_twice_the_next_anchor(side: int) -> None:
    sample, anchors = one_face((5, 3, 5 + side, 3 + side)), np.array(AnchorSampling().anchors)
    nearest = int(np.abs(anchors - side).argmin())
    recipe = Compose([AnchorSampling(size=320, p=1), Resize(320, random_interpolation=False)])
    sizes = []
    for seed in range(60):
        found = recipe(sample, rng(seed))
        assert found.image.shape == (320, 320, 3)
        ((x1, y1, x2, y2),) = found.faces.boxes  # it is wholly in the square
        assert x2 - x1 == pytest.approx(y2 - y1, rel=0.05)  # 21 x 28 pixels, say
        np.testing.assert_allclose(
            found.faces.landmarks[0], [[(x1 + x2) / 2, (y1 + y2) / 2]] * 5, rtol=0.01, atol=0.5
        )
        sizes.append(x2 - x1)
    largest = min(2 * anchors[nearest + 1], 320)
    assert 7.5 < min(sizes) < 16
    assert 0.7 * largest < max(sizes) < 1.02 * largest


def test_its_draws_recomputed() -> None:
    """The square and its place, step by step, for a face of 24 x 54 pixels."""
    sample = one_face((100, 80, 124, 134))
    for seed in range(30):
        generator = rng(seed)
        assert (generator.random(), generator.integers(1)) is not None  # whether, and which face
        anchor = 16 * 2.0 ** generator.integers(3)  # sqrt(24 * 54) = 36 is nearest to 32
        side = max(54, 160 * 36 / generator.uniform(anchor / 2, anchor * 2))
        found = AnchorSampling(size=160, p=1)(sample, rng(seed))
        if side <= 400:
            assert len(found.image) == math.ceil(side)
            box = [24, 54]
        else:  # shrunk beforehand, so that no larger image is made
            assert len(found.image) == 160
            box = np.array([24, 54]) * 160 / side
        np.testing.assert_allclose(
            found.faces.boxes[0, 2:] - found.faces.boxes[0, :2], box, rtol=0.02, atol=0.05
        )


def test_the_square_stays_within_an_image_that_holds_it() -> None:
    sample = one_face((390, 280, 400, 300))
    for seed in range(60):
        found = AnchorSampling(size=64, p=1)(sample, rng(seed))
        if len(found.image) <= 300 and len(found.image) != 64:
            assert not (found.image == 0).any()
            assert not (found.image == MEAN_BGR).all(axis=2).any()


def test_other_images_are_cropped_as_usual(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample(3)
    usual, generator = RandomSquareCrop(scales=[0.4]), rng(1)
    generator.random()
    assert_equal(AnchorSampling(p=0, scales=[0.4])(sample, rng(1)), usual(sample, generator))
    ignored = sample._replace(faces=sample.faces._replace(ignore=np.ones(3, bool)))
    generator = rng(1)
    generator.random()
    assert_equal(AnchorSampling(p=1, scales=[0.4])(ignored, rng(1)), usual(ignored, generator))
    half = [len(AnchorSampling(p=0.5, scales=[0.4])(sample, rng(s)).image) for s in range(200)]
    assert 70 < half.count(48) < 130


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"anchors": [0, 16]}, r"anchors above 0 pixels, got \[0\.0, 16\.0\]"),
        ({"anchors": []}, r"anchors above 0 pixels, got \[\]"),
        ({"p": 1.5}, r"a probability of 0 to 1, got p=1\.5"),
        ({"scales": [3]}, r"up to 2, got \[3\.0\]"),
    ],
)
def test_anchor_sampling_errors(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AnchorSampling(**arguments)


# --- colour ------------------------------------------------------------------------------------


def test_colour_with_probability_0_changes_nothing(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample()
    assert_equal(ColourDistortion(p=0)(sample, rng()), sample)


def test_brightness_shifts_and_saturates(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample()
    only = ColourDistortion(contrast=(1, 1), saturation=(1, 1), hue=0, p=1)
    # Saturation by 1 and hue by 0 still go through HSV, which rounds; grey survives it exactly.
    grey = np.repeat(sample.image[:, :, :1], 3, axis=2)
    result = only(sample._replace(image=grey), rng(1)).image.astype(int)
    generator = rng(1)
    generator.random(4)
    shift = generator.uniform(-32, 32)
    np.testing.assert_array_equal(result, np.clip(np.trunc(grey + shift), 0, 255))


def test_contrast_scales_by_a_factor_of_the_interval(make_sample: Callable[..., Sample]) -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    only = ColourDistortion(brightness=0, saturation=(1, 1), hue=0, p=1)
    values = [
        int(only(make_sample()._replace(image=image), rng(s)).image[0, 0, 0]) for s in range(200)
    ]
    assert 50 <= min(values) < 60
    assert 140 < max(values) <= 150


def test_hue_turns_and_saturation_0_removes_colour(make_sample: Callable[..., Sample]) -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 2] = 200
    sample = make_sample()._replace(image=red)
    turned = ColourDistortion(0, (1, 1), (1, 1), hue=18, p=1)
    hues = {
        int(cv2.cvtColor(turned(sample, rng(s)).image, cv2.COLOR_BGR2HSV)[0, 0, 0])
        for s in range(100)
    }
    # Hue is a circle of 180: from red, 0, one can turn both ways.
    assert hues <= {*range(19), *range(162, 180)}
    assert min(h for h in hues if h > 90) < 170
    assert max(h for h in hues if h < 90) > 10
    drained = ColourDistortion(0, (1, 1), (0, 0), hue=0, p=1)(sample, rng()).image
    assert (drained == 200).all()


def test_colour_leaves_faces_alone(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample()
    assert ColourDistortion()(sample, rng()).faces is sample.faces


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"contrast": (1.5, 0.5)}, "expected contrast as two factors from low to high"),
        ({"saturation": (1.0,)}, "expected saturation as two factors"),
        ({"hue": 90}, "hue of 0 to 89, got brightness=32.0, hue=90"),
        ({"brightness": -1}, "got brightness=-1"),
        ({"p": 1.5}, "expected a probability of 0 to 1, got p=1.5"),
    ],
)
def test_colour_errors(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ColourDistortion(**arguments)


# --- pad, mirror, resize -----------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(30, 50), (50, 30)])
def test_pad_extends_right_and_below(
    make_sample: Callable[..., Sample], height: int, width: int
) -> None:
    sample = make_sample(height=height, width=width)
    padded = PadToSquare()(sample, rng())
    assert padded.image.shape == (50, 50, 3)
    np.testing.assert_array_equal(padded.image[:height, :width], sample.image)
    assert (padded.image[height:] == MEAN_BGR).all()
    assert (padded.image[:, width:] == MEAN_BGR).all()
    assert padded.faces is sample.faces
    assert PadToSquare()(padded, rng()).image is padded.image


def test_mirror_twice_is_identity(make_sample: Callable[..., Sample]) -> None:
    mirror = RandomMirror(p=1)
    for seed in range(10):
        sample = make_sample(5, seed=seed)
        twice = mirror(mirror(sample, rng()), rng())
        np.testing.assert_array_equal(twice.image, sample.image)
        np.testing.assert_allclose(twice.faces.boxes, sample.faces.boxes, atol=1e-4)
        np.testing.assert_allclose(twice.faces.landmarks, sample.faces.landmarks, atol=1e-4)


def test_mirror_exchanges_left_and_right_landmarks(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample(1)
    (points,) = sample.faces.landmarks
    (mirrored,) = RandomMirror(p=1)(sample, rng()).faces.landmarks
    np.testing.assert_allclose(mirrored[:, 0], 160 - points[[1, 0, 2, 4, 3], 0])
    np.testing.assert_allclose(mirrored[:, 1], points[[1, 0, 2, 4, 3], 1])
    assert mirrored[0, 0] < mirrored[1, 0]  # the left eye is still on the left
    assert mirrored[3, 0] < mirrored[4, 0]


def test_mirror_happens_as_often_as_asked(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample()
    kept = sum(RandomMirror(p=0.25)(sample, rng(seed)) is sample for seed in range(400))
    assert 270 < kept < 330
    with pytest.raises(ValueError, match=r"got p=-0\.1"):
        RandomMirror(p=-0.1)


def test_resize_scales_faces_with_the_image(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample(4)
    result = Resize(320)(sample, rng())
    assert result.image.shape == (320, 320, 3)
    factors = np.array([2, 320 / 120])
    np.testing.assert_allclose(
        result.faces.boxes, sample.faces.boxes * np.tile(factors, 2), rtol=1e-5
    )
    np.testing.assert_allclose(result.faces.landmarks, sample.faces.landmarks * factors, rtol=1e-5)


def test_resize_draws_the_interpolation_only_when_asked(
    make_sample: Callable[..., Sample],
) -> None:
    sample = make_sample()
    drawn = {Resize(96)(sample, rng(seed)).image.tobytes() for seed in range(40)}
    fixed = {
        Resize(96, random_interpolation=False)(sample, rng(seed)).image.tobytes()
        for seed in range(5)
    }
    assert len(drawn) == 5
    assert len(fixed) == 1


def test_resize_draws_from_the_interpolations_given(make_sample: Callable[..., Sample]) -> None:
    def results(*names: str) -> set[bytes]:
        resize = Resize(96, interpolations=names)
        return {resize(make_sample(), rng(seed)).image.tobytes() for seed in range(40)}

    assert len(results("linear", "cubic", "area", "nearest")) == 4
    every = results("linear", "cubic", "area", "nearest", "lanczos")
    assert every - results("linear", "cubic", "area", "nearest") == results("lanczos")
    for wrong in ([], ["bilinear"]):
        with pytest.raises(ValueError, match=r"^expected interpolations among linear, .* got \["):
            Resize(96, interpolations=wrong)


def test_resize_drops_faces_that_get_too_small(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample(2, height=100, width=100)
    boxes = np.array([[10, 10, 20, 30], [40, 40, 60, 60]], dtype=np.float32)
    sample = sample._replace(faces=sample.faces._replace(boxes=boxes))
    kept = Resize(50, min_face=6)(sample, rng()).faces
    np.testing.assert_allclose(kept.boxes, [[20, 20, 30, 30]])
    assert len(kept.landmarks) == len(kept.has_landmarks) == len(kept.ignore) == 1


@pytest.mark.parametrize("size", [(3, 1000), (1000, 3), (1, 1), (1, 640)])
def test_very_thin_images_make_a_square(
    make_sample: Callable[..., Sample], size: tuple[int, int]
) -> None:
    box = np.array([[0, 0, 1, 1], [0, 0, size[1], size[0]]], dtype=np.float32)
    sample = make_sample(2)
    image = np.zeros((*size, 3), dtype=np.uint8)
    sample = sample._replace(image=image, faces=sample.faces._replace(boxes=box))
    for transform in (RECIPE, *EACH[-1:]):
        for seed in range(8):
            result = transform(sample, rng(seed))
            assert result.image.shape == (64, 64, 3)
            assert np.isfinite(result.faces.boxes).all()


def test_sizes_below_one_pixel_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 1 pixel, got 0; set data\.image_size"):
        Resize(0)
