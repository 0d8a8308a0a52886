"""RetinaFace: ``train/label.txt`` with ``train/images``, likewise ``val``.

A line ``# event/file.jpg`` begins an image; then one line per face: x y w h, five times (x y flag),
a quality. The flag is 0 of a landmark that shows, 1 of a hidden one, -1 of one without label; the
quality is 0 of a face without landmarks that is to be ignored.

Source: RetinaFace annotations, insightface issues 664 and 889.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from src.data.layouts.labels import (
    HIDDEN,
    NOT_LABELLED,
    VISIBLE,
    Label,
    LabelledImage,
    Labels,
    Landmark,
    Split,
    image_name,
    is_complete,
    landmarks_or_none,
    written,
)
from src.data.layouts.text import numbers, read_lines, write_lines
from src.images.header import ImageSize
from src.types import NUM_LANDMARKS

NUM_COLUMNS = 4 + 3 * NUM_LANDMARKS + 1
"""Numbers of a face: box, landmarks with a flag each, quality."""


class RetinaFace:
    """The layout that most detectors of faces are trained from."""

    name = "retinaface"
    option = "widerface"
    title = "WIDER FACE"
    looked_for = "{split}/label.txt"

    def find(self, root: Path, split: Split) -> Path | None:
        file = root / split / "label.txt"
        return file if file.is_file() else None

    def read(self, root: Path, split: Split, found: Path, category: str | None) -> Labels:
        labels = Labels(found, self.image_folder(root, split))
        faces: list[Label] = []
        begun = False
        for line, text in read_lines(found):
            if text.startswith("#"):
                begun, faces = True, []
                try:
                    name = image_name(text[1:])
                except ValueError as error:
                    labels.refuse(found, line, str(error))
                else:
                    labels.images.append(LabelledImage(name, faces, found, line))
            elif not begun:
                message = "expected a line '# event/file.jpg' before the first face"
                labels.refuse(found, line, message)
            else:
                row = numbers(text, (NUM_COLUMNS, 4), labels, found, line)
                if row is not None:
                    faces.append(_label(row, line))
        return labels

    def image_folder(self, root: Path, split: Split) -> Path:
        return root / split / "images"

    def fit(self, label: Label, size: ImageSize) -> Label | None:
        landmarks, quality = label.landmarks, label.quality
        if label.ignore:  # is said by a quality of 0 without landmarks
            landmarks, quality = None if is_complete(landmarks) else landmarks, None
        elif quality == 0 and not is_complete(landmarks):
            quality = None
        return label._replace(landmarks=landmarks, quality=quality, attributes=None)

    def write(self, root: Path, splits: Mapping[Split, Sequence[LabelledImage]]) -> None:
        for split, images in splits.items():
            lines = []
            for image in images:
                lines.append(f"# {image.name}")
                lines.extend(" ".join(map(written, _row(face))) for face in image.faces)
            write_lines(root / split / "label.txt", lines)


def _label(row: list[float], line: int) -> Label:
    x, y, width, height = row[:4]
    box = (x, y, width, height)
    if len(row) == 4:
        return Label(box, place=line)
    quality = row[-1]
    landmarks = None
    if any(value != -1 for value in row[4:-1]):
        points = zip(row[4:-1:3], row[5:-1:3], row[6:-1:3], strict=True)
        landmarks = landmarks_or_none([_landmark(*point) for point in points])
    ignore = quality == 0 and not is_complete(landmarks)
    told = quality == 1 or ignore
    return Label(box, landmarks, ignore, None if told else quality, place=line)


def _landmark(x: float, y: float, flag: float) -> Landmark:
    # A point may have one negative coordinate when its face is cut by the border.
    if x == y == -1:
        return 0.0, 0.0, NOT_LABELLED
    return x, y, HIDDEN if flag == 1 else VISIBLE


def _row(face: Label) -> list[float]:
    row = list(face.box)
    for x, y, seen in face.landmarks or ((0.0, 0.0, NOT_LABELLED),) * NUM_LANDMARKS:
        row += (x, y, float(seen == HIDDEN)) if seen else (-1.0, -1.0, -1.0)
    default = 0.0 if face.ignore else 1.0
    return [*row, default if face.quality is None else face.quality]
