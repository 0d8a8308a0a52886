"""Files and names that end, fill or block a process which believes them."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.images.files import find_sources, read_image, read_photo, write_image
from src.images.header import claimed_size, read_image_size
from src.images.video import VideoReader, VideoWriter

NOT_UTF8 = os.fsdecode(b"caf\xe9")
"""As Latin-1 has it."""


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def claiming(width: int, height: int) -> bytes:
    """A PNG file of a few bytes that says it has this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_names_that_are_not_utf8(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    folder = tmp_path / NOT_UTF8
    folder.mkdir()
    file = folder / f"{NOT_UTF8}{suffix}"
    write_image(file, picture)
    assert (read_image(file) == picture).all()
    assert (read_photo(file, long_side=None, max_pixels=10**6) == picture).all()
    assert find_sources(folder) == [file]


def test_videos_of_such_names_are_refused(tmp_path: Path, picture: np.ndarray) -> None:
    video = tmp_path / f"{NOT_UTF8}.avi"
    video.touch()
    with pytest.raises(
        ValueError, match=r"expected the name of a video in UTF-8, got .*caf\?\.avi"
    ):
        VideoReader(video)
    with pytest.raises(ValueError, match="rename the file or its folder"):
        VideoWriter(video, 25.0).write(picture)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_more_pixels_than_a_format_has_room_for(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(OSError, match=r"picture of 70,000 x 1 pixels to .*; choose a smaller one"):
        write_image(tmp_path / f"wide{suffix}", np.zeros((1, 70_000, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_an_unknown_suffix(tmp_path: Path, picture: np.ndarray) -> None:
    with pytest.raises(OSError, match=r"a\.xyz, but OpenCV cannot"):
        write_image(tmp_path / "a.xyz", picture)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_every_format_claims_its_size(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    write_image(file, picture)
    assert claimed_size(file) == (24, 32)
    for length in range(0, file.stat().st_size, 97):
        file.write_bytes(file.read_bytes()[:length])
        claimed_size(file)


def test_headers_that_claim_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bomb.png"
    file.write_bytes(claiming(20_000, 20_000))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(
        ValueError, match=r"bomb.png: .*at most 100,000,000 pixels, got 20,000 x 20"
    ):
        read_image_size(file)
    assert read_image_size(file, 400_000_000) == (20_000, 20_000)
    # Also where little of it would be seen by the network.
    with pytest.raises(
        ValueError, match=r"bomb.png: expected at most 100,000,000 .*set max_pixels"
    ):
        read_photo(file, long_side=640, max_pixels=50_000_000)


@pytest.mark.parametrize(("long_side", "enlarged"), [(100_000, 1.0), (None, 3000.0)])
def test_little_that_would_be_enlarged_too_far(
    tmp_path: Path, picture: np.ndarray, long_side: int | None, enlarged: float
) -> None:
    file = tmp_path / "a.png"
    write_image(file, picture)
    with pytest.raises(ValueError, match=r"a.png: .*, got 32 x 24, [\d,]+ with long_side="):
        read_photo(file, long_side=long_side, max_pixels=50_000_000, enlarged=enlarged)


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "a.png"
    os.mkfifo(pipe)
    for read in (read_image, read_image_size, claimed_size):
        with pytest.raises(ValueError, match="expected a file, got a pipe or a device"):
            read(pipe)
    with pytest.raises(ValueError, match="expected an image or video"):
        find_sources(pipe)
    with pytest.raises(ValueError, match="found no file"):
        find_sources(tmp_path)
    with pytest.raises(ValueError, match="expected a file, got a folder"):
        read_image(tmp_path)
