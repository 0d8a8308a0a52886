"""Which of the categories of a data set are faces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from src.data.layouts.labels import quoted

_SHOWN = 8
_ADVICE = "name that of faces with data.category=, or category= of src.convert"


def face_category(names: Mapping[int, str], wanted: str | None, file: Path) -> int:
    """The number of the category of faces: the one asked for, the only one, or that named face.

    Args:
        names: number -> name.
        wanted: name or number; None where it should be seen from the names.
        file: that has the names.

    Raises:
        ValueError: there is no such category, or it cannot be seen which one is meant.
    """
    shown = ", ".join(quoted(name) for name in list(names.values())[:_SHOWN])
    shown += ", ..." if len(names) > _SHOWN else ""
    if wanted is not None:
        found = [number for number, name in names.items() if wanted in (name, str(number))]
        if len(found) != 1:
            raise ValueError(
                f"expected the category {quoted(wanted)} once in {file}, got {shown or 'none'}; "
                f"{_ADVICE}"
            )
        return found[0]
    faces = [number for number, name in names.items() if name.lower() in ("face", "faces")]
    if len(names) != 1 and len(faces) != 1:
        raise ValueError(
            f"expected one category, or one named 'face', in {file}, got {shown or 'none'}; "
            f"{_ADVICE}"
        )
    return next(iter(faces or names))
