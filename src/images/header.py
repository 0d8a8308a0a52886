"""Height and width of an image file from its header, without decoding the pixels.

Reading 12,880 headers takes about a second where decoding takes minutes, so labels can be checked
against their images, and damaged files found, before training starts.

Source: JPEG: ITU-T T.81 annex B (EOI marker). PNG: W3C PNG specification, sections 5.2 (signature)
and 11.2.1 (IHDR).
"""

from __future__ import annotations

import os
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

MAX_PIXELS = 100_000_000
"""Of an image, unless told otherwise: 300 MB of memory. A file of 50 KB can claim more."""
_JPEG_SIGNATURE = b"\xff\xd8"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TAIL = 4096
"""Bytes searched for the end marker first: cameras append a few bytes after it."""


class ImageSize(NamedTuple):
    """Size of an image in pixels, as stored (an EXIF rotation is not applied)."""

    height: int
    width: int


def open_file(path: Path, buffering: int = -1) -> BinaryIO:
    """Open a file to read; what is no file, such as a pipe, could be waited for without an end.

    Raises:
        FileNotFoundError: if there is nothing.
        ValueError: if it is something else; names it.
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        raise ValueError(f"{path}: expected a file, got {kind}; remove it or choose another")
    return open(path, "rb", buffering=buffering)


def read_image_size(path: Path, max_pixels: int = MAX_PIXELS) -> ImageSize:
    """Read the size of a JPEG or PNG file and check that the file ends where its format says.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is neither JPEG nor PNG, is cut off, or has more than ``max_pixels``; the
            message names the file.
    """
    # The default buffer of 128 KiB would read most of a small file to use 2 KiB of it.
    with open_file(path, _TAIL) as stream:
        start = stream.read(24)
        size = _size(start, stream)
        end = b"\xff\xd9" if start.startswith(_JPEG_SIGNATURE) else b"IEND"
        if not _is_known(start):
            what = f"a file that begins with {start[:8]!r}" if start else "an empty file"
            raise ValueError(f"{path}: expected a JPEG or PNG image, got {what}; replace the file")
        if size is None or not _ends_with(stream, end):
            length = stream.seek(0, os.SEEK_END)
            raise ValueError(
                f"{path}: expected a complete image, got one cut off after {length:,} bytes; "
                "copy it again"
            )
    if min(size) < 1:
        raise ValueError(
            f"{path}: expected a height and width of at least 1 pixel, got {size.height} x "
            f"{size.width}; replace the file"
        )
    if size.height * size.width > max_pixels:
        raise ValueError(
            f"{path}: expected at most {max_pixels:,} pixels, got {size.width:,} x "
            f"{size.height:,}; make it smaller, or set data.max_pixels where there is the memory"
        )
    return size


def claimed_size(path: Path) -> ImageSize | None:
    """What the header of an image file says; None of an unknown one, or where it is damaged."""
    with open_file(path, _TAIL) as stream:
        start = stream.read(24)
        return _size(start, stream) if _is_known(start) else _other_size(stream)


def check_complete(path: Path) -> None:
    """Refuse a JPEG or PNG file that is cut off: what is missing is decoded as grey.

    Raises:
        ValueError: naming the file. Of other formats nothing is known.
    """
    with open_file(path) as stream:
        start = stream.read(24)
    if _is_known(start):
        read_image_size(path, sys.maxsize)


def _is_known(start: bytes) -> bool:
    return start.startswith((_JPEG_SIGNATURE, _PNG_SIGNATURE))


def _size(start: bytes, stream: BinaryIO) -> ImageSize | None:
    if start.startswith(_JPEG_SIGNATURE):
        return _jpeg_size(stream)
    return _png_size(start) if start.startswith(_PNG_SIGNATURE) else None


def _jpeg_size(stream: BinaryIO) -> ImageSize | None:
    """From the frame header; None where the file ends or breaks before the pixels."""
    stream.seek(0)
    # Not Image.open, which warns of large images though nothing is decoded.
    with suppress(SyntaxError, OSError):
        image = JpegImageFile(stream)
        return ImageSize(image.height, image.width)
    return None


def _other_size(stream: BinaryIO) -> ImageSize | None:
    for kind in (BmpImageFile, TiffImageFile, WebPImageFile):
        stream.seek(0)
        # Whatever a damaged file raises: decoding says that it is one.
        with suppress(Exception):
            image = kind(stream)
            return ImageSize(image.height, image.width)
    return None


def _png_size(start: bytes) -> ImageSize | None:
    if len(start) < 24 or start[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", start[16:])
    return ImageSize(height, width)


def _ends_with(stream: BinaryIO, marker: bytes) -> bool:
    """Whether the end marker stands after the current position, looking at the end first."""
    position = stream.tell()
    length = stream.seek(0, os.SEEK_END)
    stream.seek(max(position, length - _TAIL))
    if marker in stream.read():
        return True
    # Rare: kilobytes of foreign data behind the image.
    stream.seek(position)
    return marker in stream.read()
