"""Which files are images, and the one way in which they are read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from src.images.header import check_complete, claimed_size
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


def read_photo(file: Path, *, long_side: int | None, max_pixels: int) -> np.ndarray:
    """Decode an image of a user, upright, if it is complete and not too large.

    Args:
        file: to read.
        long_side: to which it will be resized before a network sees it, pixels; None: not at all.
        max_pixels: that the network is to see.

    Raises:
        ValueError: naming the file.
    """
    size = claimed_size(file)
    if size is not None:  # before memory is asked for
        _check_pixels(file, size, long_side, max_pixels)
    image = read_image(file, upright=True)
    _check_pixels(file, image.shape[:2], long_side, max_pixels)
    check_complete(file)
    return image


def _check_pixels(
    file: Path, size: tuple[int, ...], long_side: int | None, max_pixels: int
) -> None:
    height, width = size
    scale = 1.0 if long_side is None else long_side / max(size)
    if height * width * scale**2 > max_pixels:
        raise ValueError(
            f"{file}: expected at most {max_pixels:,} pixels, got {width:,} x {height:,}; set "
            "long_side= to reduce it, or max_pixels= where there is the memory"
        )


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
