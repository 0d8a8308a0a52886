"""Which files are images, and the one way in which they are read and written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from src.images.header import MAX_PIXELS, check_complete, claimed_size, open_file
from src.images.video import VIDEO_SUFFIXES

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # we say what is wrong

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
    state = "damaged"
    try:
        # Not cv2.imread, which ends the process where a name is not UTF-8.
        with open_file(file) as stream:
            image = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), flags)
    except FileNotFoundError:
        image, state = None, "missing"
    except cv2.error:  # empty, or more pixels than OpenCV accepts
        image = None
    if image is None:
        raise ValueError(
            f"{file}: expected an image that can be decoded, got a {state} file; replace it"
        )
    return image


def write_image(file: Path, image: np.ndarray) -> None:
    """Write [H, W, 3] uint8 BGR in the format of the suffix, into a folder that is there.

    Raises:
        OSError: if it cannot be written; names the file.
    """
    try:
        written, content = cv2.imencode(file.suffix, image)
    except cv2.error:  # an unknown suffix
        written = False
    if not written:  # more rows or columns than the format has room for
        height, width = image.shape[:2]
        raise OSError(
            f"expected to write a picture of {width:,} x {height:,} pixels to {file}, but OpenCV "
            "cannot; choose a smaller one or .png"
        )
    file.write_bytes(content.tobytes())


def read_photo(
    file: Path, *, long_side: int | None, max_pixels: int, enlarged: float = 1.0
) -> np.ndarray:
    """Decode an image of a user, upright, if it is complete and not too large.

    Args:
        file: to read.
        long_side: to which it will be resized before a network sees it, pixels; None: not at all.
        max_pixels: that the network is to see; one that is to be reduced may have as many or
            :data:`MAX_PIXELS`.
        enlarged: factor on the sides of what the network sees.

    Raises:
        ValueError: naming the file.
    """
    size = claimed_size(file)
    if size is not None:  # before memory is asked for
        check_pixels(file, size, long_side, max_pixels, enlarged)
    check_complete(file)
    image = read_image(file, upright=True)
    check_pixels(file, image.shape[:2], long_side, max_pixels, enlarged)
    return image


def check_pixels(
    file: Path,
    size: Sequence[int],
    long_side: int | None,
    max_pixels: int,
    enlarged: float = 1.0,
) -> None:
    """Refuse an image of a size (height, width), or a video, as :func:`read_photo` does.

    Raises:
        ValueError: naming the file.
    """
    height, width = size
    stored = height * width
    scale = enlarged * (1.0 if long_side is None else long_side / max(1, *size))
    if stored * scale**2 > max_pixels:
        shown = f"{width:,} x {height:,}"
        if scale != 1:
            shown += f", {stored * scale**2:,.0f} with long_side={long_side} and views.scales"
        raise ValueError(
            f"{file}: expected at most {max_pixels:,} pixels, got {shown}; set a smaller "
            "long_side= to reduce it, or max_pixels= where there is the memory"
        )
    if stored > max(max_pixels, MAX_PIXELS):  # all of it is decoded first
        raise ValueError(
            f"{file}: expected at most {max(max_pixels, MAX_PIXELS):,} pixels, got {width:,} x "
            f"{height:,}; reduce it with another program, or set max_pixels= where there is the "
            "memory"
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
    if source.suffix.lower() not in known or not source.is_file():
        raise ValueError(f"expected an image or video ({listed}), got {source}")
    return [source]
