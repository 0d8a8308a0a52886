"""Dynamic assignment written from its description, one image, face and prior at a time."""

from __future__ import annotations

import math


def choose(
    costs: list[dict[int, float]], overlaps: list[dict[int, float]], least: list[int], top_k: int
) -> dict[int, int]:
    """The face of each prior that answers for one.

    Args:
        costs, overlaps: of each face, candidate -> value.
        least: of each face, the number of its priors at least.
        top_k: at most, and the number of overlaps that are summed.
    """
    wishes = []
    for cost, overlap, lowest in zip(costs, overlaps, least, strict=True):
        largest = sorted(overlap.values(), reverse=True)[:top_k]
        k = max(min(math.floor(sum(largest)), top_k), lowest)
        wishes.append(sorted(cost, key=cost.__getitem__)[:k])
    face_of: dict[int, int] = {}
    while any(wishes):
        for prior in {prior for wish in wishes for prior in wish}:
            wanting = [face for face, wish in enumerate(wishes) if prior in wish]
            face_of[prior] = min(wanting, key=lambda face: costs[face][prior])
        # Whoever has none asks again, for what is not the best of another.
        own = [[p for p, f in face_of.items() if f == face] for face in range(len(costs))]
        kept = {min(p, key=costs[face].__getitem__) for face, p in enumerate(own) if p}
        left = [[p for p in cost if p not in kept] if not own[face] else []
                for face, cost in enumerate(costs)]  # fmt: skip
        wishes = [[min(p, key=costs[face].__getitem__)] if p else []
                  for face, p in enumerate(left)]  # fmt: skip
    return face_of
