"""``val/wider_val.txt``: the names of images without labels, for the official ground truth."""

from __future__ import annotations

from pathlib import Path

from src.data.layouts.labels import LabelledImage, Labels, Split, image_name
from src.data.layouts.text import read_lines


class NameList:
    """Beside the RetinaFace layout; can be read only."""

    name = "names"
    option = "widerface"
    title = "WIDER FACE"
    looked_for = "val/wider_val.txt"

    def find(self, root: Path, split: Split) -> Path | None:
        file = root / split / "wider_val.txt"
        return file if split == "val" and file.is_file() else None

    def read(self, root: Path, split: Split, found: Path, category: str | None) -> Labels:
        labels = Labels(found, root / split / "images", has_labels=False)
        for line, text in read_lines(found):
            try:
                name = image_name(text.lstrip("#"))
            except ValueError as error:
                labels.refuse(found, line, str(error))
            else:
                labels.images.append(LabelledImage(name, [], found, line))
        return labels
