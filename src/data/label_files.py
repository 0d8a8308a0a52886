"""Label files of WIDER FACE as columns of numbers, and what is wrong with them.

RetinaFace: a line ``# event/file.jpg`` begins an image; then one line per face: x y w h, five
times (x y flag), a quality. -1 stands for a landmark that was not annotated.
Official: a name, a count, and per face: x y w h blur expression illumination invalid occlusion
pose; an image without faces has the count 0 and one line of zeros all the same.

Source: readme.txt of the official annotations (shuoyang1213.me/WIDERFACE); RetinaFace annotations,
insightface issues 664 and 889.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from src.images.files import IMAGE_SUFFIXES
from src.types import NUM_LANDMARKS

NUM_COLUMNS = 4 + 3 * NUM_LANDMARKS + 1
"""Numbers of a face in the RetinaFace layout: box, landmarks with a flag each, quality."""

_INVALID_COLUMN = 7


@dataclass(frozen=True)
class Problem:
    """Something wrong with the files of a split."""

    kind: Literal["label", "missing", "image", "outside", "duplicate"]
    file: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else str(self.file)
        return f"{place}: {self.message}"


@dataclass
class Labels:
    """Columns of a label file; a face belongs to the image ``owners`` names by its index."""

    names: list[str] = field(default_factory=list)
    name_lines: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)
    """``NUM_COLUMNS`` numbers each, also where the file is an official one; quality 0 without
    landmarks says that the annotators called the face invalid."""

    def add_image(self, name: str, line: int) -> None:
        self.names.append(name.strip().lstrip("/"))
        self.name_lines.append(line)

    def add_face(self, row: list[float], line: int) -> None:
        self.owners.append(len(self.names) - 1)
        self.rows.append(row)
        self.lines.append(line)


def parse_retinaface(file: Path, problems: list[Problem]) -> Labels:
    """Read a ``label.txt``; faces may also have the four numbers of their box only.

    Lines at fault are left out and appended to ``problems``.
    """
    labels = Labels()
    for number, line in enumerate(_lines(file), start=1):
        if line.startswith("#"):
            labels.add_image(line[1:], number)
            continue
        tokens = line.split()
        if not tokens:
            continue
        if not labels.names:
            message = "expected a line '# event/file.jpg' before the first face"
            problems.append(Problem("label", file, number, message))
            continue
        row = _numbers(tokens, (NUM_COLUMNS, 4), file, number, problems)
        if row is not None:
            complete = row if len(row) == NUM_COLUMNS else _without_landmarks(row, 1.0)
            labels.add_face(complete, number)
    return labels


def parse_official(file: Path, problems: list[Problem]) -> Labels:
    """Read a ``wider_face_<split>_bbx_gt.txt``.

    Lines at fault are left out and appended to ``problems``.
    """
    labels = Labels()
    lines = [(number, line.strip()) for number, line in enumerate(_lines(file), start=1)]
    lines = [(number, line) for number, line in lines if line]
    starts = [i for i, (_, line) in enumerate(lines) if line.lower().endswith(IMAGE_SUFFIXES)]
    if lines and (not starts or starts[0] > 0):
        message = f"expected an image name, got {_quoted(lines[0][1])}"
        problems.append(Problem("label", file, lines[0][0], message))
    # From name to name, so that a wrong count spoils the faces of one image only.
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        number, name = lines[start]
        labels.add_image(name, number)
        number, count = lines[start + 1] if start + 1 < end else (number, "")
        if not count.isdigit():
            message = f"expected the number of faces of {name}, got {_quoted(count)}"
            problems.append(Problem("label", file, number, message))
            continue
        faces = lines[start + 2 : end]
        if int(count) == 0 and len(faces) <= 1:
            continue  # the line of zeros
        if len(faces) != int(count):
            message = f"expected {count} faces of {name}, got {len(faces)}"
            problems.append(Problem("label", file, number, message))
        for number, line in faces:
            row = _numbers(line.split(), (10,), file, number, problems)
            if row is not None:
                quality = 0.0 if row[_INVALID_COLUMN] else 1.0
                labels.add_face(_without_landmarks(row[:4], quality), number)
    return labels


def parse_names(file: Path, problems: list[Problem]) -> Labels:
    """Read a list of names, one per line: images without labels."""
    labels = Labels()
    for number, line in enumerate(_lines(file), start=1):
        if line.strip():
            labels.add_image(line.lstrip("#"), number)
    return labels


def _lines(file: Path) -> list[str]:
    # Undecodable bytes become a visible character and so a message with a line number.
    return file.read_text(encoding="utf-8-sig", errors="replace").splitlines()


def _without_landmarks(box: list[float], quality: float) -> list[float]:
    return [*box, *[-1.0] * (3 * NUM_LANDMARKS), quality]


def _numbers(
    tokens: list[str], counts: tuple[int, ...], file: Path, line: int, problems: list[Problem]
) -> list[float] | None:
    """The numbers of a face line, or None and a problem."""
    if len(tokens) not in counts:
        expected = " or ".join(map(str, counts))
        message = f"expected {expected} numbers for a face, got {len(tokens)}"
    else:
        try:
            row = [float(token) for token in tokens]
        except ValueError:
            message = f"expected numbers for a face, got {_quoted(' '.join(tokens))}"
        else:
            # The sum is finite only if every number is, and costs less than asking each.
            if math.isfinite(sum(row)):
                return row
            message = f"expected finite numbers for a face, got {_quoted(' '.join(tokens))}"
    problems.append(Problem("label", file, line, message))
    return None


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
