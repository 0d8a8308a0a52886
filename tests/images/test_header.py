from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from src.images.header import ImageSize, read_image_size


def encoded(suffix: str, height: int = 37, width: int = 53, *options: int) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(suffix, pixels, list(options))[1].tobytes()


@pytest.mark.parametrize(
    "content",
    [
        encoded(".jpg"),
        encoded(".png"),
        encoded(".jpg", 37, 53, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),  # another frame header
        encoded(".jpg") + b"\0" * 3,  # a few bytes behind the end
        encoded(".jpg") + b"\0" * 10_000,  # many
        # a long comment and fill bytes before the frame header
        encoded(".jpg")[:2] + b"\xff\xfe\xff\x00" + b"c" * 0xFEFE + b"\xff" + encoded(".jpg")[2:],
    ],
)
def test_size_is_read_from_the_header(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(content)
    assert read_image_size(path) == ImageSize(height=37, width=53)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_cut_file_is_named(tmp_path: Path, suffix: str, share: float) -> None:
    content = encoded(suffix)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: max(9, int(len(content) * share))])
    with pytest.raises(ValueError, match=rf"cut{suffix}: expected a complete image.*copy it again"):
        read_image_size(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file"),
        (b"GIF89a and more", "expected a JPEG or PNG image, got a file that begins with b'GIF89a"),
        (b"<html>not found</html>", "expected a JPEG or PNG image"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "other.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"other.jpg: .*{message}"):
        read_image_size(path)


def test_an_image_of_no_height_is_refused(tmp_path: Path) -> None:
    content = bytearray(encoded(".png"))
    content[20:24] = bytes(4)
    path = tmp_path / "flat.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="at least 1 pixel, got 0 x 53"):
        read_image_size(path)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_image_size(tmp_path / "absent.jpg")
