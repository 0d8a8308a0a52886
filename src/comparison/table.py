"""A comparison as Markdown: tables ready to paste, and below them what was run and how."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from src.comparison.compare import Comparison, Row
from src.comparison.grouping import short
from src.comparison.intervals import CONFIDENCE, Difference, Spread
from src.report.charts import SIZE_LABELS
from src.report.tables import markdown_table, percent
from src.runs.read import METRICS

_UNPAIRED = "†"
_LEVELS = [level for level in METRICS if level != "mean"]


def markdown(comparison: Comparison, *, picture: str) -> str:
    """The whole report; ``picture`` is the file it shows, relative to the report."""
    blocks = [main_table(comparison)]
    if len(comparison.rows) > 1:
        blocks.append(_difference_table(comparison))
    if _knows_sizes(comparison):
        blocks.append(_sizes_table(comparison))
    if any(row.teacher_ap for row in comparison.rows):
        blocks.append(_teacher_table(comparison.rows))
    blocks += [
        f"![AP of each setting, differences and learning curves]({picture})",
        "\n".join(_run_lines(comparison)),
        "\n".join(_method_lines(comparison)),
        *_section("Beware:", comparison.notes),
        *_section(
            "Left out:",
            [f"`{short(folder)}`, {_one_line(reason)}" for folder, reason in comparison.left_out],
        ),
    ]
    return "\n\n".join(blocks) + "\n"


def main_table(comparison: Comparison) -> str:
    """Setting, seeds, parameters, AP in per cent, difference of the mean AP to the base."""
    head = ["setting", "seeds", "parameters", *(f"AP {level}" for level in METRICS)]
    rows = [
        [
            _code(row.setting.name),
            str(len(row.setting.runs)),
            " or ".join(f"{count:,}" for count in row.parameters) or "n/a",
            *(_spread(row.ap[level]) for level in METRICS),
            _difference(row, "mean"),
        ]
        for row in comparison.rows
    ]
    return markdown_table([*head, "difference (mean)"], rows)


def _difference_table(comparison: Comparison) -> str:
    head = [f"difference to {_code(comparison.base.name)}", *(f"AP {level}" for level in _LEVELS)]
    rows = [
        [_code(row.setting.name), *(_difference(row, level) for level in _LEVELS)]
        for row in comparison.rows
        if row.difference
    ]
    return markdown_table(head, rows)


def _knows_sizes(comparison: Comparison) -> bool:
    sizes = [each.mean for row in comparison.rows for each in row.size_ap.values()]
    return not all(map(math.isnan, sizes))


def _sizes_table(comparison: Comparison) -> str:
    """AP in per cent of the hard faces by size; n/a where runs do not know it."""
    head = ["faces by size", *(f"AP {label}" for label in SIZE_LABELS.values())]
    rows = [
        [
            _code(row.setting.name),
            *(_spread(row.size_ap[size]) if size in row.size_ap else "n/a" for size in SIZE_LABELS),
        ]
        for row in comparison.rows
    ]
    return markdown_table(head, rows)


def _teacher_table(rows: Sequence[Row]) -> str:
    head = ["teacher beside", *(f"AP {level}" for level in METRICS)]
    head += [f"gap {level}" for level in METRICS]
    cells = [
        [
            _code(row.setting.name),
            *(percent(row.teacher_ap.get(level, math.nan)) for level in METRICS),
            *(
                percent(row.teacher_ap.get(level, math.nan) - row.ap[level].mean, sign="+")
                for level in METRICS
            ),
        ]
        for row in rows
        if row.teacher_ap
    ]
    return markdown_table(head, cells)


def _run_lines(comparison: Comparison) -> Iterator[str]:
    found = comparison.conditions
    yield f"- Runs: `{found['command']}`, with the settings above; seeds {found['seeds']}."
    if found["seeds"].startswith("see"):
        for row in comparison.rows:
            seeds = ", ".join(map(str, row.setting.seeds))
            yield f"  - {_code(row.setting.name)}: seeds {seeds}."
    yield f"- Revision {found['revision']}; {found['versions']}."
    yield (
        f"- Data {found['data']}, validation images: {found['images']}; optimizer steps: "
        f"{found['steps']}."
    )


def _method_lines(comparison: Comparison) -> Iterator[str]:
    percent = f"{100 * CONFIDENCE:.0f} %"
    yield (
        "- AP in per cent, of each run's best checkpoint, chosen on the same validation images. "
        "± of an AP is the standard deviation over seeds; one seed has none."
    )
    if _knows_sizes(comparison):
        yield "- Faces by size: those of the hard setting, by sqrt(width x height) in pixels."
    every = [each for row in comparison.rows for each in row.difference.values()]
    kinds = {each.kind for each in every}
    if "paired" in kinds:
        yield (
            f"- ± of a difference is half of the {percent} t-interval of the mean difference, "
            "paired by seed."
        )
    if "unpaired" in kinds:
        yield (
            f"- {_UNPAIRED}: not the same seeds, so half of the {percent} interval of Welch's "
            "t-test, unpaired."
        )
    if "none" in kinds:
        yield "- n/a: one seed tells nothing about the uncertainty of a difference."
    if len([row for row in comparison.rows if row.difference]) > 1 and kinds - {"none"}:
        yield "- Each interval stands for itself: it is not widened for the number of settings."
    if any(row.teacher_ap for row in comparison.rows):
        yield "- Gap: AP of the teacher minus that of its student, on the same images."


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["\n".join([title, "", *(f"- {line}" for line in lines)])] if lines else []


def _code(text: str) -> str:
    return f"`{_one_line(text)}`".replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _spread(value: Spread) -> str:
    if math.isnan(value.deviation):
        return percent(value.mean)
    return f"{percent(value.mean)} ± {percent(value.deviation)}"


def _difference(row: Row, level: str) -> str:
    if not row.difference:
        return "base"
    change: Difference = row.difference[level]
    if math.isnan(change.mean):
        return "n/a"
    mark = f" {_UNPAIRED}" if change.kind == "unpaired" else ""
    return f"{percent(change.mean, sign='+')} ± {percent(change.half_width)}{mark}"
