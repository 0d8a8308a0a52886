"""Image files, images at another size, drawing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from featherface.faces import Faces
from featherface.packages import cv2

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
_GREEN = (80, 220, 60)
_LANDMARK_COLOURS = ((0, 0, 255), (0, 255, 255), (255, 0, 255), (0, 255, 0), (255, 0, 0))


class TooManyPixels(ValueError):
    """An image is larger than OpenCV was told to accept, which it knows before it decodes it."""


def read_image(file: str | Path) -> np.ndarray:
    """Decode an image file, upright as its EXIF data say, to BGR [H, W, 3] uint8.

    Raises:
        ValueError: it cannot be read or decoded; the message begins with its name.
    """
    # Not cv2.imread, which cannot open every path on Windows and does not say why it failed.
    try:
        return decode_image(Path(file).read_bytes())
    except OSError as error:
        raise ValueError(
            f"{file}: expected a file that can be read, got: {error.strerror}"
        ) from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def decode_image(content: bytes) -> np.ndarray:
    """The same for the content of a file.

    Raises:
        TooManyPixels: more than the environment variable OPENCV_IO_MAX_IMAGE_PIXELS allowed when
            OpenCV was imported; by default 2 to the power of 30.
        ValueError: it cannot be decoded.
    """
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        if "MAX_IMAGE" in str(error):
            raise TooManyPixels("expected an image of fewer pixels, got a larger one") from None
        image = None  # no content at all
    if image is None:
        raise ValueError(
            "expected an image that can be decoded, got a damaged one or something else"
        )
    return image


def write_image(file: Path, image: np.ndarray) -> None:
    """Write BGR [H, W, 3] uint8 in the format of the suffix, folders included.

    Raises:
        OSError: it cannot be written.
    """
    written, content = cv2.imencode(file.suffix, image)
    if not written:
        raise OSError(f"expected to write a picture to {file}, but OpenCV cannot")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.tobytes())


def fit_long_side(image: np.ndarray, long_side: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Scale an image so that its longer side has a given length, as in training and evaluation.

    Returns:
        The image, and its pixels per original pixel along x and y, which differ by rounding.
    """
    height, width = image.shape[:2]
    factor = long_side / max(height, width)
    if factor == 1:
        return image, (1.0, 1.0)
    columns, rows = (max(1, round(side * factor)) for side in (width, height))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(image, (columns, rows), interpolation=method)
    return resized, (columns / width, rows / height)


def draw_faces(image: np.ndarray, faces: Faces, *, landmarks: bool = False) -> np.ndarray:
    """A copy of BGR [H, W, 3] uint8 with boxes and scores, and landmarks if asked, on it."""
    canvas = image.copy()
    # One pixel of line per 400 pixels of image stays visible when the picture is shown whole.
    thickness = max(1, round(max(image.shape[:2]) / 400))
    for face in faces:
        x1, y1, x2, y2 = (round(float(value)) for value in face.box)
        # Faces of a few pixels would disappear under a thick line.
        line = min(thickness, max(1, min(x2 - x1, y2 - y1) // 8))
        cv2.rectangle(canvas, (x1, y1), (x2, y2), _GREEN, line)
        if landmarks:
            for (x, y), colour in zip(face.landmarks, _LANDMARK_COLOURS, strict=True):
                point = round(float(x)), round(float(y))
                cv2.circle(canvas, point, line, colour, cv2.FILLED, cv2.LINE_AA)
        _write(canvas, f"{face.score:.2f}", x1, y1)
    return canvas


def crop(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of an image in a box [4], as far as the image goes; may be empty."""
    height, width = image.shape[:2]
    x1, x2 = (round(min(max(float(value), 0), width)) for value in box[::2])
    y1, y2 = (round(min(max(float(value), 0), height)) for value in box[1::2])
    return image[y1:y2, x1:x2]


def _write(canvas: np.ndarray, text: str, x: int, y: int) -> None:
    """Write text above a corner, or inside the image where there is no room above."""
    height, width = canvas.shape[:2]
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, max(0.35, max(height, width) / 2000)
    (text_width, text_height), baseline = cv2.getTextSize(text, font, scale, thickness=1)
    x = int(np.clip(x, 0, max(0, width - text_width)))
    y = int(np.clip(y - baseline, text_height, max(text_height, height - baseline)))
    # A dark plate: coloured text on a photograph is unreadable half of the time.
    plate = (x, y - text_height - 1), (x + text_width, y + baseline)
    cv2.rectangle(canvas, *plate, (0, 0, 0), cv2.FILLED)
    cv2.putText(canvas, text, (x, y), font, scale, _GREEN, 1, cv2.LINE_AA)
