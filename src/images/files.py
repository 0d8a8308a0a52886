"""Which files are images, and the one way in which they are read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from src.images.video import VIDEO_SUFFIXES

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def read_image(file: Path, *, upright: bool = False) -> np.ndarray:
    """Decode an image file to [H, W, 3] uint8 BGR. Grey and 16-bit images are converted.

    Args:
        file: to read.
        upright: turn it as its EXIF data say. Labels count the pixels of the file as stored.

    Raises:
        ValueError: if the file cannot be decoded; names it.
    """
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imread(str(file), flags)
    except cv2.error:  # more pixels than OpenCV accepts
        image = None
    if image is None:
        state = "damaged" if file.is_file() else "missing"
        raise ValueError(
            f"{file}: expected an image that can be decoded, got a {state} file; replace it"
        )
    return image


def find_sources(source: Path) -> list[Path]:
    """The images and videos that ``source`` names: itself, or all below it if it is a folder.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: not an image or video, or a folder without any.
    """
    known = {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES}
    listed = ", ".join(sorted(known))
    if source.is_dir():
        files = sorted(f for f in source.rglob("*") if f.suffix.lower() in known and f.is_file())
        if not files:
            raise ValueError(
                f"expected images or videos in {source}, found no file ending in {listed}"
            )
        return files
    if not source.exists():
        raise FileNotFoundError(
            f"expected an image, a video or a folder at source={source}, found nothing"
        )
    if source.suffix.lower() not in known:
        raise ValueError(f"expected an image or video ({listed}), got {source}")
    return [source]
