"""Height and width of an image file from its header, without decoding the pixels.

Reading 12,880 headers takes about a second where decoding takes minutes, so labels can be checked
against their images, and damaged files found, before training starts.

Source: JPEG: ITU-T T.81 annex B (segments, SOF frame header, EOI marker). PNG: W3C PNG
specification, sections 5.2 (signature) and 11.2.1 (IHDR).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_START_OF_SCAN = 0xDA
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xDA)}
# 0xC4, 0xC8 and 0xCC are in the range of the frame headers but define tables.
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TAIL = 4096
"""Bytes searched for the end marker first: cameras append a few bytes after it."""


class ImageSize(NamedTuple):
    """Size of an image in pixels, as stored (an EXIF rotation is not applied)."""

    height: int
    width: int


def read_image_size(path: Path) -> ImageSize:
    """Read the size of a JPEG or PNG file and check that the file ends where its format says.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is neither JPEG nor PNG, or is cut off; the message names the file.
    """
    # The default buffer of 128 KiB would read most of a small file to use 2 KiB of it.
    with open(path, "rb", buffering=_TAIL) as stream:
        start = stream.read(8)
        if start.startswith(_JPEG_START):
            size = _jpeg_size(stream)
            complete = size is not None and _ends_with(stream, _JPEG_END)
        elif start == _PNG_SIGNATURE:
            size = _png_size(stream)
            complete = size is not None and _ends_with(stream, b"IEND")
        else:
            what = f"a file that begins with {start!r}" if start else "an empty file"
            raise ValueError(f"{path}: expected a JPEG or PNG image, got {what}; replace the file")
        if size is None or not complete:
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
    return size


def _jpeg_size(stream: BinaryIO) -> ImageSize | None:
    """Walk the segments up to the frame header; None where the file ends or breaks before it."""
    stream.seek(2)
    while True:
        marker = stream.read(2)
        if len(marker) < 2 or marker[0] != 0xFF:
            return None
        code = marker[1]
        if code == 0xFF:  # fill byte: the marker begins one byte later
            stream.seek(-1, os.SEEK_CUR)
            continue
        if code in _WITHOUT_LENGTH:
            continue
        header = stream.read(2)
        if len(header) < 2 or code == _START_OF_SCAN:
            return None
        (length,) = struct.unpack(">H", header)
        if code in _START_OF_FRAME:
            frame = stream.read(5)
            if len(frame) < 5:
                return None
            _, height, width = struct.unpack(">BHH", frame)
            return ImageSize(height, width)
        stream.seek(length - 2, os.SEEK_CUR)


def _png_size(stream: BinaryIO) -> ImageSize | None:
    header = stream.read(16)
    if len(header) < 16 or header[4:8] != b"IHDR":
        return None
    width, height = struct.unpack(">II", header[8:])
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
