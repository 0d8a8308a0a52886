"""Where in the data a checkpoint was written, so that a resumed run goes on exactly there.

Lightning (2.6) repeats the order of epoch 0 after a resume when worker processes load the images,
and takes the end of an epoch for its middle when ``max_steps`` is set. So we restore the counters
of its loops in the two states that it handles rightly, and tell the data module where to begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Position(NamedTuple):
    """What comes next."""

    epoch: int
    batch: int
    """Batches of this epoch that are done; 0 of a checkpoint written between two epochs."""


def settle(loops: Mapping[str, Any]) -> Position:
    """Bring the loop counters of a checkpoint into order; returns the position they stand for.

    Args:
        loops: ``checkpoint["loops"]`` of Lightning, as written at the end of training in an epoch;
            changed in place.
    """
    state = loops["fit_loop"]
    epochs = state["epoch_progress"]["current"]
    batches = state["epoch_loop.batch_progress"]
    begun = epochs["started"]
    if batches["is_last_batch"]:
        position = Position(begun, 0)
        batches["is_last_batch"] = False
    else:  # max_steps came first
        position = Position(begun - 1, batches["current"]["completed"])
    for counts in (epochs, state["epoch_progress"]["total"]):
        counts.update(ready=begun, started=begun, processed=position.epoch)
        counts["completed"] = position.epoch
    return position
