"""How labelled images lie on disk: a reader and a writer per layout.

A further layout is one file like ``retinaface.py`` and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from src.data.layouts.coco import Coco
from src.data.layouts.labels import Split
from src.data.layouts.layout import Layout, Reader
from src.data.layouts.names import NameList
from src.data.layouts.official import Official
from src.data.layouts.retinaface import RetinaFace
from src.data.layouts.yolo import Yolo

LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout for layout in (RetinaFace(), Official(), Coco(), Yolo())
}

# A list of names comes last: a tree that has labels as well should be read with them.
READERS: Mapping[str, Sequence[Reader]] = {
    "widerface": (LAYOUTS["retinaface"], LAYOUTS["official"], NameList()),
    **{name: (layout,) for name, layout in LAYOUTS.items()},
}
"""Layout, or kind of data -> its readers, of which the first that finds its files reads."""

SPLITS: tuple[Split, ...] = ("train", "val")


def layouts_of(root: Path) -> list[str]:
    """The layouts of which there are label files in a folder."""
    return [name for name, layout in LAYOUTS.items() if _finds(layout, root)]


def _finds(layout: Layout, root: Path) -> list[Path]:
    found = []
    for split in SPLITS:
        try:
            path = layout.find(root, split)
        except ValueError:  # its files are there, and at fault
            path = root
        found += [] if path is None else [path]
    return found
