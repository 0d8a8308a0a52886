"""Training images decoded once into a file that is mapped into memory.

A crop then copies the pixels it needs instead of decoding all of them: at 320 pixels that is most
of the work of a loading process. The operating system keeps the file in memory as far as it fits,
one copy for all processes of a machine.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from src.data.reading import Reading
from src.images.files import read_image
from src.images.header import ImageSize
from src.report.progress import tracked
from src.runs.files import replacing
from src.runs.locks import alone_in

FORMAT = 1
"""The layout of the file: pixels of all images in a row, [H, W, 3] uint8 BGR each, then the key."""
_AT_ONCE = 64
"""Images in memory while the file is written."""

logger = logging.getLogger(__name__)

ImageReader = Callable[[Path], np.ndarray]
"""The file of an image -> its pixels [H, W, 3] uint8 BGR, not to be written to."""


class DecodedImages:
    """An :data:`ImageReader` for the images of a split, from one file of pixels.

    Args:
        file: written by :func:`decoded_images`.
        paths: of the images, in its order.
        sizes: theirs.
    """

    def __init__(self, file: Path, paths: Sequence[Path], sizes: Sequence[ImageSize]) -> None:
        self.file = file
        ends = np.cumsum([_bytes(size) for size in sizes])
        self._places = {
            path: (int(end) - _bytes(size), size)
            for path, end, size in zip(paths, ends, sizes, strict=True)
        }
        self._pixels = self._mapped()

    def __call__(self, path: Path) -> np.ndarray:
        start, size = self._places[path]
        return self._pixels[start : start + _bytes(size)].reshape(*size, 3)

    def _mapped(self) -> np.ndarray:
        # As a plain array: slices of np.memmap carry its bookkeeping along.
        return np.memmap(self.file, np.uint8, "r").view(np.ndarray)

    def __getstate__(self) -> dict[str, Any]:
        """Without the pixels: a process that is not forked maps the file itself."""
        return {name: value for name, value in vars(self).items() if name != "_pixels"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._pixels = self._mapped()


def decoded_images(reading: Reading, root: Path, folder: Path) -> DecodedImages:
    """The decoded images of a split, written to a file below ``folder`` unless they are there.

    The file belongs to the images' names, sizes and times of change: one that does not fit, or is
    damaged, is written again. Several processes may ask at once; one writes, the others wait.

    Args:
        reading: of the split.
        root: of the data set, which names the file.
        folder: where the file goes; made if need be.

    Raises:
        ValueError: an image cannot be decoded, or there is no room for the file.
    """
    paths = [annotation.path for annotation in reading.annotations]
    key = _key(reading)
    place = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]
    file = folder / f"{root.name}-{reading.image_folder.parent.name}-{place}.pixels"
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder):
        _write_unless_there(file, paths, reading.sizes, key)
        return DecodedImages(file, paths, reading.sizes)


def _write_unless_there(
    file: Path, paths: Sequence[Path], sizes: Sequence[ImageSize], key: bytes
) -> None:
    total = sum(map(_bytes, sizes))
    if _fits(file, total, key):
        logger.info("%s: %d decoded images, %.2f GB", file, len(paths), total / 1e9)
        return
    if file.exists():
        logger.warning("%s is damaged or of other images: writing it again", file)
        file.unlink()
    free = shutil.disk_usage(file.parent).free
    if free < total + len(key):
        raise ValueError(
            f"expected {total / 1e9:.2f} GB of free space in {file.parent} for {len(paths):,} "
            f"decoded images, got {free / 1e9:.2f}; set data.cache_folder or data.cache=false"
        )
    logger.info(
        "decoding %d images into %s, %.2f GB; best where so much memory is free",
        len(paths), file, total / 1e9,
    )  # fmt: skip
    with replacing(file) as partial, partial.open("wb") as stream:
        images = tracked(_decode(paths), "decoding", len(paths))
        for path, size, image in zip(paths, sizes, images, strict=True):
            if image.shape != (*size, 3):
                raise ValueError(
                    f"{path}: expected {size.height} x {size.width} pixels, as its header says, "
                    f"got {image.shape[0]} x {image.shape[1]}; replace it"
                )
            stream.write(image.data)
        stream.write(key)
        stream.flush()
        os.fsync(stream.fileno())  # else a power cut could leave the name without the content


def _decode(paths: Sequence[Path]) -> Iterator[np.ndarray]:
    """Images in order, a few ahead of their use."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), _AT_ONCE):
            yield from pool.map(read_image, paths[start : start + _AT_ONCE])


def _fits(file: Path, total: int, key: bytes) -> bool:
    """Whether the file is whole and of the images that the key stands for."""
    try:
        with file.open("rb") as stream:
            stream.seek(-len(key), os.SEEK_END)
            return stream.tell() == total and stream.read() == key
    except OSError:  # none, or too short
        return False


def _key(reading: Reading) -> bytes:
    """Same for the same files decoded by the same library."""
    digest = hashlib.sha256(f"{FORMAT} {cv2.__version__}".encode())
    for annotation, size in zip(reading.annotations, reading.sizes, strict=True):
        status = annotation.path.stat()
        line = (annotation.name, *size, status.st_size, status.st_mtime_ns)
        digest.update(repr(line).encode())
    return digest.digest()


def _bytes(size: ImageSize) -> int:
    return 3 * size.height * size.width
