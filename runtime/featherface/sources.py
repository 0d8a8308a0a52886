"""What the words of a command line name: photos and videos, also those in folders, and a camera."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featherface import images, videos


@dataclass(frozen=True)
class Frame:
    """One image of a source; what is None does not apply to a photo."""

    image: np.ndarray
    """BGR [H, W, 3] uint8."""
    number: int | None = None
    """From 0."""
    time: float | None = None
    """Seconds."""
    rate: float | None = None
    """Frames per second of the video."""
    total: int | None = None
    """Frames of the video, as its header says; None: it does not."""


@dataclass(frozen=True)
class Source:
    """A file or a camera.

    Args:
        place: the file, or the number of the camera.
        target: where what is made of it goes, relative to the folder of results.
    """

    place: Path | int
    target: Path

    def __str__(self) -> str:
        return f"camera {self.place}" if isinstance(self.place, int) else str(self.place)

    def frames(self) -> Iterator[Frame]:
        """Raises ValueError where it cannot be read, or not further."""
        if isinstance(self.place, int) or self.place.suffix.lower() in videos.SUFFIXES:
            video = videos.VideoReader(self.place)
            for number, (time, image) in enumerate(video):
                yield Frame(image, number, time, video.rate, video.num_frames)
        else:
            yield Frame(images.read_image(self.place))


def find_sources(paths: Sequence[Path], camera: int | None, results: Path) -> list[Source]:
    """The photos and videos at ``paths``, each once, with all below folders, and a camera.

    Args:
        paths: files, of any name, and folders, of which files with known suffixes are taken.
        camera: its number; None: none.
        results: the folder of results; what is in it is left out of the folders.

    Raises:
        FileNotFoundError: nothing at one of the paths.
        ValueError: a folder without photos and videos, or nothing at all was named.
    """
    if not paths and camera is None:
        raise ValueError("expected photos, videos, folders or --camera 0, got none of them")
    found: dict[Path, Path] = {}  # by what it is, whatever it is called
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"expected a photo, a video or a folder at {path}, got nothing")
        for file in _below(path, results) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    # Relative to what all have in common: a/1.jpg and b/1.jpg stay apart.
    folders = [str((path if path.is_dir() else path.parent).resolve()) for path in paths]
    common = os.path.commonpath(folders) if folders else ""
    sources = [Source(file, _within(file, common)) for file in found.values()]
    if camera is not None:
        sources.append(Source(camera, Path(f"camera{camera}.mp4")))
    return sources


def _below(folder: Path, results: Path) -> list[Path]:
    if folder.resolve().is_relative_to(results.resolve()):
        raise ValueError(
            f"expected an --output folder apart from the photos, got {results} and photos in "
            f"{folder}; what is drawn would be looked at"
        )
    known = images.SUFFIXES | videos.SUFFIXES
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in known and file.is_file()
        and not file.resolve().is_relative_to(results.resolve())
    ]  # fmt: skip
    if not files:
        raise ValueError(
            f"expected photos or videos in {folder}, got no file ending in "
            f"{', '.join(sorted(known))}"
        )
    return files


def _within(file: Path, folder: str) -> Path:
    """The path of a file below a folder; its name alone where a link leads elsewhere."""
    # Not resolved as a whole: a link keeps the name under which it was found.
    full = file.parent.resolve() / file.name
    return full.relative_to(folder) if full.is_relative_to(folder) else Path(file.name)
