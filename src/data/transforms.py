"""Training augmentation of RetinaFace, in numpy and OpenCV.

Every transform takes a sample and a random generator and returns a new sample; the input is never
modified, though pixels that did not change may be shared with it. Images stay uint8 throughout.

Source: RetinaFace (Deng et al., CVPR 2020, arXiv 1905.00641), section 4.2 "data augmentation", and
data/data_augment.py of github.com/biubug6/Pytorch_Retinaface; colour distortion is that of SSD
(Liu et al., ECCV 2016, arXiv 1512.02325).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from src.images.resize import pad, resize
from src.types import MEAN_BGR, MIRRORED_LANDMARKS, Faces, Sample

INTERPOLATIONS = {
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
    "lanczos": cv2.INTER_LANCZOS4,
}
"""Name -> method of OpenCV; those that the recipe draws from, in its order."""
_LEVELS = np.arange(256, dtype=np.float64)


Transform = Callable[[Sample, np.random.Generator], Sample]
"""What :class:`Compose` puts in a row."""


@dataclass(frozen=True)
class Compose:
    """Apply transforms one after the other; none at all returns the sample.

    Args:
        transforms: in their order; a table gives each a name by which its settings can be changed,
            ``augmentation.transforms.colour.p=0``.
    """

    transforms: Sequence[Transform] | Mapping[str, Transform]

    def __post_init__(self) -> None:
        transforms = self.transforms
        if isinstance(transforms, Mapping):
            transforms = list(transforms.values())
        object.__setattr__(self, "transforms", tuple(transforms))
        for transform in self.transforms:
            if not callable(transform):
                # OmegaConf turns dataclass instances in a list back into settings.
                raise TypeError(
                    f"expected transforms that can be called, got {type(transform).__name__}; "
                    "in YAML give Compose the line '_convert_: all'"
                )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for transform in self.transforms:
            assert callable(transform)  # checked on construction
            sample = transform(sample, rng)
        return sample


@dataclass(frozen=True)
class RandomSquareCrop:
    """Cut a random square out of the image.

    A square that is longer than a side of the image hangs over its edges there, with the image
    anywhere within; outside is the mean colour. A square counts when at least one face that is not
    ignored lies wholly inside; with no such face in the image every square counts. Faces whose
    centre is inside are kept, their boxes clipped; landmarks are shifted and may lie outside. When
    no attempt counts the whole image is returned.

    Args:
        scales: sides to choose from, fractions of the short side of the image, up to 2. RetinaFace
            has up to 1; SCRFD (Guo et al., ICLR 2022) goes to 2, for more small faces.
        attempts: squares drawn before giving up.
    """

    scales: Sequence[float] = (0.3, 0.45, 0.6, 0.8, 1.0)
    attempts: int = 250

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        if not self.scales or not all(0 < scale <= 2 for scale in self.scales):
            raise ValueError(
                f"expected crop scales above 0 and up to 2, got {list(self.scales)}; "
                "set augmentation.transforms.crop.scales"
            )
        if self.attempts < 1:
            raise ValueError(f"expected at least 1 crop attempt, got attempts={self.attempts}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        # All attempts at once: dense images fail many, and a Python loop over them is slow.
        scales = rng.choice(self.scales, size=self.attempts)
        sides = np.maximum((scales * min(height, width)).astype(np.int64), 1)
        lefts = rng.integers(np.minimum(width - sides, 0), np.maximum(width - sides, 0) + 1)
        tops = rng.integers(np.minimum(height - sides, 0), np.maximum(height - sides, 0) + 1)
        chosen = _first_holding_a_face(sample.faces, lefts, tops, sides)
        if chosen is None:
            return sample
        return cut_square(sample, int(lefts[chosen]), int(tops[chosen]), int(sides[chosen]))


@dataclass(frozen=True)
class AnchorSampling(RandomSquareCrop):
    """Bring a random face to a random size that is up to one anchor larger than its own.

    Data-anchor sampling (PyramidBox, Tang et al., ECCV 2018, section 3.4): of the anchors, the one
    nearest to the face's size or a smaller one or the next larger one is drawn, and from half to
    twice of it the size that the face shall have; then a square that holds the face, anywhere in
    it. Makes small faces out of large ones. Where the whole image is smaller than the square, it
    lies anywhere within, on the mean colour. Other images, and those without a face that is not
    ignored, are cropped as :class:`RandomSquareCrop` does.

    Args:
        size: side of the image that the network will see, pixels.
        p: probability of the sampling; EResFD (Jeong et al., WACV 2024) has 0.5.
        anchors: sizes of faces, sqrt(width height) in pixels of the result.
        scales, attempts: see :class:`RandomSquareCrop`.
    """

    size: int = 640
    p: float = 0.5
    anchors: Sequence[float] = (16, 32, 64, 128, 256, 512)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_probability(self.p)
        anchors = tuple(sorted(float(anchor) for anchor in self.anchors))
        object.__setattr__(self, "anchors", anchors)
        if not anchors or anchors[0] <= 0:
            raise ValueError(
                f"expected anchors above 0 pixels, got {list(anchors)}; "
                "set augmentation.transforms.crop.anchors"
            )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        candidates = sample.faces.boxes[~sample.faces.ignore]
        if rng.random() >= self.p or not len(candidates):
            return super().__call__(sample, rng)
        height, width = sample.image.shape[:2]
        box = candidates[rng.integers(len(candidates))]
        box = np.clip(box, 0, [width, height, width, height])
        sides = np.maximum(box[2:] - box[:2], 1.0)
        face = float(np.sqrt(sides.prod()))
        nearest = int(np.abs(np.array(self.anchors) - face).argmin())
        anchor = self.anchors[int(rng.integers(min(nearest + 1, len(self.anchors) - 1) + 1))]
        side = self.size * face / rng.uniform(anchor / 2, anchor * 2)
        side = max(side, float(sides.max()))  # else the face would be cut

        shrink = self.size / side
        if side > max(height, width) and shrink < 1:  # before padding, which would be large
            pixels = max(1, round(width * shrink)), max(1, round(height * shrink))
            scale = pixels[0] / width, pixels[1] / height
            sample = sample._replace(
                image=resize(sample.image, *pixels), faces=scaled(sample.faces, scale)
            )
            (width, height), side = pixels, self.size
            box = box * np.tile(np.array(scale, dtype=np.float32), 2)
        side = math.ceil(side)
        left, top = (
            int(rng.integers(*_offsets(low, high, side, length)))
            for low, high, length in ((box[0], box[2], width), (box[1], box[3], height))
        )
        return cut_square(sample, left, top, side)


@dataclass(frozen=True)
class ColourDistortion:
    """Change brightness, contrast, saturation and hue, each with a probability of its own.

    Contrast comes before or after the change of saturation and hue, at even odds.

    Args:
        brightness: largest shift, grey levels of 255.
        contrast: interval of the factor on BGR.
        saturation: interval of the factor on S of HSV.
        hue: largest shift, OpenCV hue units of 2 degrees.
        p: probability of each of the four.
    """

    brightness: float = 32.0
    contrast: tuple[float, float] = (0.5, 1.5)
    saturation: tuple[float, float] = (0.5, 1.5)
    hue: int = 18
    p: float = 0.5

    def __post_init__(self) -> None:
        for name in ("contrast", "saturation"):
            interval = tuple(float(bound) for bound in getattr(self, name))
            if len(interval) != 2 or not 0 <= interval[0] <= interval[1]:
                raise ValueError(
                    f"expected {name} as two factors from low to high, got {list(interval)}"
                )
            object.__setattr__(self, name, interval)
        if self.brightness < 0 or not 0 <= self.hue < 90:
            raise ValueError(
                "expected brightness of at least 0 and hue of 0 to 89, "
                f"got brightness={self.brightness}, hue={self.hue}"
            )
        _check_probability(self.p)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        # Drawn before anything is decided, so that the choices of one do not shift the others.
        on = rng.random(4) < self.p
        shift = rng.uniform(-self.brightness, self.brightness)
        contrast = rng.uniform(*self.contrast)
        saturation = rng.uniform(*self.saturation)
        hue = int(rng.integers(-self.hue, self.hue + 1))
        contrast_first = rng.random() < 0.5

        # Each step acts on single values, so steps in a row are one table of 256 entries.
        table = _rounded(_LEVELS + shift) if on[0] else _rounded(_LEVELS)
        contrasted = _rounded(_LEVELS * contrast) if on[1] else None
        if contrasted is not None and contrast_first:
            table = contrasted[table]
        image = sample.image
        if on[0] or (contrasted is not None and contrast_first):
            image = cv2.LUT(image, table)
        if on[2] or on[3]:
            hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
            hues = (_LEVELS + hue if on[3] else _LEVELS) % 180
            saturations = _LEVELS * saturation if on[2] else _LEVELS
            tables = np.stack([hues, np.clip(saturations, 0, 255), _LEVELS], axis=1)
            hsv = cv2.LUT(hsv, tables.astype(np.uint8)[:, None])
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        if contrasted is not None and not contrast_first:
            image = cv2.LUT(image, contrasted)
        return sample._replace(image=image)


@dataclass(frozen=True)
class PadToSquare:
    """Extend the shorter side, right or below, to the length of the longer; boxes stay.

    Args:
        fill: colour of the new pixels, BGR.
    """

    fill: tuple[int, int, int] = MEAN_BGR

    def __post_init__(self) -> None:
        object.__setattr__(self, "fill", tuple(int(value) for value in self.fill))

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        side = max(sample.image.shape[:2])
        return sample._replace(image=pad(sample.image, side, side, self.fill))


@dataclass(frozen=True)
class RandomMirror:
    """Exchange left and right, of landmarks too: the left eye is the one on the left of the image.

    Args:
        p: probability.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        _check_probability(self.p)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        width = sample.image.shape[1]
        boxes = sample.faces.boxes.copy()
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        landmarks = sample.faces.landmarks[:, MIRRORED_LANDMARKS]
        landmarks[:, :, 0] = width - landmarks[:, :, 0]
        return sample._replace(
            image=cv2.flip(sample.image, 1), faces=_moved(sample.faces, boxes, landmarks)
        )


@dataclass(frozen=True)
class Resize:
    """Scale the image to a square of the given side, whatever its shape.

    Args:
        size: side of the result, pixels.
        random_interpolation: draw one of several methods, as the recipe does; else bilinear, or
            area averaging where the image shrinks.
        min_face: faces of a shorter side below this many pixels of the result are dropped.
        interpolations: names in :data:`INTERPOLATIONS` to draw from; the published five.
    """

    size: int
    random_interpolation: bool = True
    min_face: float = 0.0
    interpolations: Sequence[str] = tuple(INTERPOLATIONS)

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(
                f"expected a size of at least 1 pixel, got {self.size}; set data.image_size"
            )
        object.__setattr__(self, "interpolations", tuple(self.interpolations))
        if not self.interpolations or not set(self.interpolations) <= INTERPOLATIONS.keys():
            raise ValueError(
                f"expected interpolations among {', '.join(INTERPOLATIONS)}, got "
                f"{list(self.interpolations)}; set them in a file of the augmentation"
            )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        if self.random_interpolation:
            method = self.interpolations[int(rng.integers(len(self.interpolations)))]
            image = cv2.resize(
                sample.image, (self.size, self.size), interpolation=INTERPOLATIONS[method]
            )
        else:
            image = resize(sample.image, self.size, self.size)
        scale = self.size / width, self.size / height
        return sample._replace(image=image, faces=scaled(sample.faces, scale, self.min_face))


def cut_square(sample: Sample, left: int, top: int, side: int) -> Sample:
    """A square of the image, which may hang over its edges: the mean colour is outside.

    Faces whose centre is in the square and the image are kept, their boxes clipped to both;
    landmarks are shifted and may lie outside.
    """
    height, width = sample.image.shape[:2]
    origin = np.array([left, top], dtype=np.float32)
    low = np.maximum(origin, 0)
    high = np.minimum(origin + np.float32(side), np.array([width, height], dtype=np.float32))
    boxes = sample.faces.boxes
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((centres > low) & (centres < high)).all(axis=1)
    faces = _choose(sample.faces, inside)
    clipped = np.clip(faces.boxes, np.tile(low, 2), np.tile(high, 2)) - np.tile(origin, 2)
    faces = _moved(faces, clipped, faces.landmarks - origin)
    faces = _choose(faces, _at_least(faces.boxes, 0.0))

    shown = sample.image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    if shown.shape[:2] == (side, side):
        return sample._replace(image=shown, faces=faces)
    above, before = max(-top, 0), max(-left, 0)
    below, behind = side - above - shown.shape[0], side - before - shown.shape[1]
    image = cv2.copyMakeBorder(
        shown, above, below, before, behind, cv2.BORDER_CONSTANT, value=MEAN_BGR
    )
    return sample._replace(image=image, faces=faces)


def _offsets(low: float, high: float, side: int, length: int) -> tuple[int, int]:
    """Interval, the end excluded, of the places where a square holds what is from low to high.

    Within the image if it fits there, else around the whole image.
    """
    least = max(math.ceil(high) - side, min(length - side, 0))
    return least, max(least, min(math.floor(low), max(length - side, 0))) + 1


def _first_holding_a_face(
    faces: Faces, lefts: np.ndarray, tops: np.ndarray, sides: np.ndarray
) -> int | None:
    """Index of the first square that holds a whole face, 0 where no face can be asked for."""
    boxes = faces.boxes[~faces.ignore]
    if not len(boxes):
        return 0
    # Against the same boxes as float32 columns, [attempts, N] at a time.
    x1, y1, x2, y2 = boxes.T
    low_x, low_y, side = (each.astype(np.float32)[:, None] for each in (lefts, tops, sides))
    whole = (x1 >= low_x) & (x2 <= low_x + side) & (y1 >= low_y) & (y2 <= low_y + side)
    accepted = whole.any(axis=1)
    return int(accepted.argmax()) if accepted.any() else None


def _choose(faces: Faces, keep: np.ndarray) -> Faces:
    return Faces(*(column[keep] for column in faces))


def _moved(faces: Faces, boxes: np.ndarray, landmarks: np.ndarray) -> Faces:
    """Faces at new places; landmarks that do not exist stay zero."""
    landmarks = np.where(faces.has_landmarks[:, None, None], landmarks, np.float32(0))
    return faces._replace(boxes=boxes.astype(np.float32), landmarks=landmarks.astype(np.float32))


def scaled(faces: Faces, scale: tuple[float, float], min_face: float = 0.0) -> Faces:
    """Faces of an image whose x and y were scaled; shorter sides below ``min_face`` are dropped."""
    pair = np.array(scale, dtype=np.float32)
    faces = _moved(faces, faces.boxes * np.tile(pair, 2), faces.landmarks * pair)
    return _choose(faces, _at_least(faces.boxes, min_face))


def _at_least(boxes: np.ndarray, min_side: float) -> np.ndarray:
    sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    return (sides > 0) & (sides >= min_side)


def _rounded(levels: np.ndarray) -> np.ndarray:
    return np.clip(levels, 0, 255).astype(np.uint8)


def _check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"expected a probability of 0 to 1, got p={p}")
