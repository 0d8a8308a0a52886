"""What a layout must be able to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from src.data.layouts.labels import Label, LabelledImage, Labels, Split
from src.images.header import ImageSize


class Reader(Protocol):
    """How a tree of labelled images that is on disk is read."""

    name: str
    option: str
    """The ``data=`` that reads it."""
    title: str
    """What people call it."""
    looked_for: str
    """Its label files, for the message that there are none; ``{split}`` stands for the split."""

    def find(self, root: Path, split: Split) -> Path | None:
        """The label file of a split, or the folder of its label files; None: not this layout."""

    def read(self, root: Path, split: Split, found: Path, category: str | None) -> Labels:
        """What the files say; faults are collected in it.

        Args:
            root: folder of the tree.
            split: to read.
            found: what :meth:`find` has found.
            category: which of several categories are faces.
        """


class Layout(Reader, Protocol):
    """How a tree of labelled images is read and written."""

    def image_folder(self, root: Path, split: Split) -> Path:
        """Where the images of a tree that is written go."""

    def fit(self, label: Label, size: ImageSize) -> Label | None:
        """The nearest label that the layout has room for; None: it has none for this face."""

    def write(self, root: Path, splits: Mapping[Split, Sequence[LabelledImage]]) -> None:
        """Write the label files of faces that fit; the sizes of the images are given."""
