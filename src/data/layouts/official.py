"""WIDER FACE as published: ``wider_face_split/wider_face_<split>_bbx_gt.txt``, ``WIDER_<split>``.

A name, a count, and per face: x y w h blur expression illumination invalid occlusion pose; an image
without faces has the count 0 and one line of zeros all the same.

Source: readme.txt of the official annotations (shuoyang1213.me/WIDERFACE).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from src.data.layouts.labels import (
    ATTRIBUTES,
    Label,
    LabelledImage,
    Labels,
    Split,
    image_name,
    quoted,
    written,
)
from src.data.layouts.text import numbers, read_lines, write_lines
from src.images.files import IMAGE_SUFFIXES
from src.images.header import ImageSize

_INVALID = 3
"""Place of the flag among the six numbers behind the box."""


class Official:
    """The layout in which WIDER FACE is published."""

    name = "official"
    option = "widerface"
    title = "WIDER FACE"
    looked_for = "wider_face_split/wider_face_{split}_bbx_gt.txt"

    def find(self, root: Path, split: Split) -> Path | None:
        file = root / self.looked_for.format(split=split)
        return file if file.is_file() else None

    def read(self, root: Path, split: Split, found: Path, category: str | None) -> Labels:
        labels = Labels(found, self.image_folder(root, split))
        lines = read_lines(found)
        starts = [i for i, (_, line) in enumerate(lines) if line.lower().endswith(IMAGE_SUFFIXES)]
        if lines and (not starts or starts[0] > 0):
            message = f"expected an image name, got {quoted(lines[0][1])}"
            labels.refuse(found, lines[0][0], message)
        # From name to name, so that a wrong count spoils the faces of one image only.
        for start, end in itertools.pairwise([*starts, len(lines)]):
            line, text = lines[start]
            try:
                name = image_name(text)
            except ValueError as error:
                labels.refuse(found, line, str(error))
            else:
                faces = self._faces(labels, name, lines[start:end])
                labels.images.append(LabelledImage(name, faces, found, line))
        return labels

    def image_folder(self, root: Path, split: Split) -> Path:
        return root / f"WIDER_{split}" / "images"

    def fit(self, label: Label, size: ImageSize) -> Label | None:
        return label._replace(landmarks=None, quality=None)

    def write(self, root: Path, splits: Mapping[Split, Sequence[LabelledImage]]) -> None:
        for split, images in splits.items():
            lines = []
            for image in images:
                lines += [image.name, str(len(image.faces))]
                lines += [_line(face) for face in image.faces] or [" ".join("0" * 10)]
            write_lines(root / self.looked_for.format(split=split), lines)

    def _faces(self, labels: Labels, name: str, lines: list[tuple[int, str]]) -> list[Label]:
        """Faces of the lines of one image: its name, their number, themselves."""
        file = labels.label_file
        line, count = lines[1] if len(lines) > 1 else (lines[0][0], "")
        if not count.isdecimal():
            message = f"expected the number of faces of {name}, got {quoted(count)}"
            labels.refuse(file, line, message)
            return []
        found = lines[2:]
        if int(count[:9]) == 0 and len(found) <= 1:
            return []  # the line of zeros
        if int(count[:9]) != len(found):
            labels.refuse(file, line, f"expected {count[:9]} faces of {name}, got {len(found)}")
        faces = []
        for line, text in found:
            row = numbers(text, (10,), labels, file, line)
            if row is not None:
                x, y, width, height, *flags = row
                invalid = flags.pop(_INVALID) != 0
                attributes = tuple(map(int, flags))
                face = Label((x, y, width, height), None, invalid, None, attributes, line)
                faces.append(face)
        return faces


def _line(face: Label) -> str:
    flags = list(face.attributes or (0,) * len(ATTRIBUTES))
    flags.insert(_INVALID, int(face.ignore))
    return " ".join([*map(written, face.box), *map(str, flags)])
