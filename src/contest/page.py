"""The page of a comparison of checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from src.comparison.curves import draw_sizes
from src.contest.photographs import LEGEND
from src.evaluation import WiderResult
from src.evaluation.curves import draw_detectors
from src.evaluation.differences import Difference
from src.evaluation.ground_truth import LEVELS
from src.report import page as html
from src.report.charts import SIZE_LABELS, column_chart
from src.report.tables import percent
from src.runs.files import replacing

HEAD = (
    "network", "parameters", "multiply-adds", *(f"AP {level}" for level in LEVELS),
    "faces found", "boxes without a face",
)  # fmt: skip


def write_page(
    file: Path,
    content: Mapping[str, Any],
    results: Mapping[str, WiderResult],
    photographs: Sequence[tuple[Difference, Sequence[bytes]]],
) -> None:
    """Write one file of HTML that needs no other.

    Args:
        file: of the page.
        content: of ``comparison.json``.
        results: of the networks by name.
        photographs: pictures in which they differ, each with what
            :func:`src.contest.photographs.draw_photographs` makes of it.
    """
    networks = content["networks"]
    title = " and ".join(row["name"] for row in networks)
    parts = [
        html.heading(title, level=1),
        *(html.paragraph(line, note=True) for line in method_lines(content)),
        html.table(HEAD, network_rows(networks)),
        html.heading("Face sizes"),
        html.table(["network", *(f"AP {label}" for label in SIZE_LABELS.values())],
                   size_rows(networks)),
        html.heading("Curves"),
        html.charts([
            *((column_chart(draw_detectors, results, level), f"Precision over recall, {level}")
              for level in LEVELS),
            (column_chart(draw_sizes, networks), "AP of each network by face size"),
        ]),
        *_photographs(list(results), photographs),
    ]  # fmt: skip
    with replacing(file) as partial:
        partial.write_text(html.page(title, parts), encoding="utf-8")


def network_rows(networks: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Cells below ``HEAD``."""
    return [
        [
            row["name"], f"{row['parameters']:,}", f"{row['multiply_adds'] / 1e6:,.0f} M",
            *(percent(row["metrics"][f"ap_{level}"]) for level in LEVELS),
            f"{row['found']:,}", f"{row['false']:,}",
        ]
        for row in networks
    ]  # fmt: skip


def size_rows(networks: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Name and AP by face size; n/a where the images have no such face."""
    return [
        [
            row["name"],
            *(percent(row["metrics"].get(f"ap_{size}", math.nan)) for size in SIZE_LABELS),
        ]
        for row in networks
    ]


def method_lines(content: Mapping[str, Any]) -> list[str]:
    """How the figures came about."""
    data = content["data"]
    side = f"longer side {data['long_side']} px" if data["long_side"] else "original size"
    return [
        f"AP in per cent on {data['images']:,} images of {data['root']} ({data['split']}, {side}); "
        f"ground truth: {data['ground_truth']}. Multiply-adds of one image of {content['width']} x "
        f"{content['height']} pixels. Revision {content['revision']}.",
        f"Faces found, of {content['faces']:,} that count, and boxes without a face: from a score "
        f"of {content['threshold']:g} on. Networks whose scores mean something else are compared "
        "by their curves, or after src.calibrate.",
    ]


def _photographs(
    names: Sequence[str], shown: Sequence[tuple[Difference, Sequence[bytes]]]
) -> Iterator[Markup]:
    yield html.heading("Where they differ most")
    if not shown:
        yield html.paragraph("No picture is shown: they differ in none, or none was asked for.")
        return
    yield html.paragraph(f"{LEGEND} A picture that is clicked fills the window.", note=True)
    for difference, files in shown:
        yield html.heading(difference.name, level=3)
        captions = [f"labels: {difference.faces} faces"]
        captions += [
            f"{name}: {found} of {difference.faces} found, {false} without a face"
            for name, found, false in zip(names, difference.found, difference.false, strict=True)
        ]
        yield html.photos(list(zip(files, captions, strict=True)))
