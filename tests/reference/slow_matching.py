"""RetinaFace's assignment written from its description, one image, face and prior at a time."""

from __future__ import annotations


def iou(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inner = max(width, 0.0) * max(height, 0.0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return inner / (areas - inner)


def assign(
    priors: list[list[float]],
    faces: list[list[float]],
    ignore: list[bool],
    threshold: float,
    min_best: float,
) -> list[tuple[int, int | None]]:
    """(label, face) of each prior of one image; priors and faces are corner boxes."""
    result: list[tuple[int, int | None]] = []
    for prior in priors:
        overlaps = [-1.0 if ignore[j] else iou(face, prior) for j, face in enumerate(faces)]
        best = max(overlaps, default=-1.0)
        if best >= threshold:
            result.append((1, overlaps.index(best)))
        elif any(ignore[j] and iou(face, prior) >= threshold for j, face in enumerate(faces)):
            result.append((-1, None))
        else:
            result.append((0, None))
    for j, face in enumerate(faces):
        overlaps = [iou(face, prior) for prior in priors]
        best = max(overlaps)
        if not ignore[j] and best >= min_best:
            result[overlaps.index(best)] = (1, j)
    return result
