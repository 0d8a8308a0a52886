"""The contest: every contender looks at the same images, in turn."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from src.contest.child import Child
from src.contest.entry import Entry
from src.detection.decoding import Decoder
from src.evaluation import ImageTruth, wider_ap
from src.images.files import read_image, write_image
from src.images.resize import fit_long_side, pad
from src.report.progress import tracked
from src.types import MEAN_BGR

log = logging.getLogger(__name__)

PERCENTILES = (50, 90, 99)
_WARM_UP = 2
"""Rounds before those that count: TorchScript compiles in the second."""


class Latency(NamedTuple):
    """Times of one image."""

    seconds: Sequence[float]
    """Of every round."""
    percentiles: Sequence[float]
    """:data:`PERCENTILES` of them, seconds."""
    ratio: float
    """To the first contender: the median over rounds of the quotient of times."""


class Result(NamedTuple):
    """What was measured of one contender at one size."""

    entry: Entry
    size: int
    """Side of the square images, pixels."""
    network: Latency
    """From its input to its outputs."""
    whole: Latency
    """From the image to its faces: preparation, network, decoding and suppression."""
    memory: int | None
    """Largest of the process until now, bytes; smaller sizes were measured before."""
    memory_added: int | None
    """How much of it runtime, network and images added to what all processes have."""
    ap: Mapping[str, float] | None = None
    """``ap_easy``, ``ap_medium``, ``ap_hard``, ``ap``, 0 to 1, at the images' own sizes."""


def contest(
    entries: Sequence[Entry],
    images: Sequence[Path],
    sizes: Sequence[int],
    decoder: Decoder,
    *,
    threads: int,
    rounds: int,
    truth: Mapping[str, tuple[Path, ImageTruth]] | None = None,
) -> list[Result]:
    """Measure every entry at every size that it takes; ratios are to the first entry.

    A round asks each process for one image, the same of all, so a machine that slows down slows
    all of them. Processes that are not asked wait.

    Args:
        entries: what takes part.
        images: take turns, one a round; fitted into a square and padded with the mean colour.
        sizes: sides of that square, pixels.
        decoder: thresholds.
        threads: of each process.
        rounds: that count.
        truth: name -> file and faces of the images for AP; None: it is not measured.

    Raises:
        ValueError: an entry that cannot be run, or takes none of the sizes.
    """
    with ExitStack() as stack, TemporaryDirectory(prefix="contest-") as folder:
        settings = {"decoder": dataclasses.asdict(decoder), "threads": threads}
        children = [
            stack.enter_context(Child(entry.name, entry=entry._asdict(), **settings))
            for entry in tracked(entries, "loading", len(entries), unit="network")
        ]
        results: list[Result] = []
        for size in sorted(sizes):
            files = _squares(images, size, Path(folder))
            able = [pair for pair in zip(entries, children, strict=True) if _takes(pair[0], size)]
            results += _at_size(able, files, size, rounds)
        for entry in entries:
            if not any(each.entry is entry for each in results):
                height, width = entry.size or (0, 0)
                raise ValueError(
                    f"expected a size that {entry.name} takes, which is {width} x {height} alone, "
                    f"got sizes={list(sizes)}"
                )
        if truth is None:
            return results
        scores = {
            id(entry): _average_precision(child, truth)
            for entry, child in zip(entries, children, strict=True)
        }
        return [each._replace(ap=scores[id(each.entry)]) for each in results]


def _takes(entry: Entry, size: int) -> bool:
    return entry.size is None or tuple(entry.size) == (size, size)


def _squares(images: Sequence[Path], size: int, folder: Path) -> list[Path]:
    """The images at one size, as files without loss."""
    files = []
    for number, image in enumerate(images):
        fitted, _ = fit_long_side(read_image(image), size)
        files.append(folder / f"{size}_{number}.png")
        write_image(files[-1], pad(fitted, size, size, MEAN_BGR))
    return files


def _at_size(
    pairs: Sequence[tuple[Entry, Child]], files: Sequence[Path], size: int, rounds: int
) -> list[Result]:
    answers: list[list[dict[str, Any]]] = [[] for _ in pairs]
    total = rounds + _WARM_UP
    for number in tracked(range(total), f"timing at {size} px", total, unit="round"):
        image = str(files[number % len(files)])
        for given, (_, child) in zip(answers, pairs, strict=True):
            answer = child.ask(image=image, rows=False)
            if number >= _WARM_UP:
                given.append(answer)
    # [contender, round, step]
    seconds = np.array([[answer["seconds"] for answer in given] for given in answers])
    networks, wholes = _latencies(seconds[..., 1]), _latencies(seconds.sum(axis=-1))
    return [
        Result(entry, size, network, whole, *given[-1]["memory"])
        for (entry, _), given, network, whole in zip(pairs, answers, networks, wholes, strict=True)
    ]


def _latencies(seconds: np.ndarray) -> list[Latency]:
    """Of [contender, round]."""
    return [
        Latency(own.tolist(), np.percentile(own, PERCENTILES).tolist(),
                float(np.median(own / seconds[0])))
        for own in seconds
    ]  # fmt: skip


def _average_precision(
    child: Child, truth: Mapping[str, tuple[Path, ImageTruth]]
) -> dict[str, float]:
    found = {}
    for name in tracked(truth, f"AP of {child.name}", len(truth)):
        rows = child.ask(image=str(truth[name][0]), rows=True)["rows"]
        found[name] = np.array(rows, dtype=np.float64).reshape(-1, 5)
    metrics = wider_ap(found, {name: faces for name, (_, faces) in truth.items()}).metrics
    return {name: metrics[name] for name in ("ap_easy", "ap_medium", "ap_hard", "ap")}
