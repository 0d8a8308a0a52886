"""The picture of how networks were trained."""

from __future__ import annotations

import csv

import pytest
from matplotlib.figure import Figure

from src.comparison import draw_training
from src.comparison.curves import draw_metrics
from src.report.charts import new_chart


@pytest.fixture
def drawn(monkeypatch):
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))
    )
    return figures


def write(folder, rows):
    folder.mkdir()
    with (folder / "metrics.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["step", "train/loss", "train/task", "val/ap"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_draws_what_the_labels_give_and_the_validations(tmp_path, drawn):
    plain = write(
        tmp_path / "plain",
        [{"step": 9, "train/loss": 8}, {"step": 19, "train/loss": 4}, {"step": 19, "val/ap": 0.25}],
    )
    distilled = write(
        tmp_path / "distilled",
        [{"step": step, "train/loss": 90, "train/task": 2} for step in range(100)],
    )
    draw_training({"plain": plain, "distilled": distilled}, tmp_path / "new" / "curves.png")
    assert (tmp_path / "new" / "curves.png").read_bytes().startswith(b"\x89PNG")
    losses, precisions = drawn[0].axes
    first, second = losses.lines
    assert first.get_xydata().tolist() == [[10, 8], [20, 4]]
    assert second.get_ydata().tolist() == [2] * 40  # the teacher's terms are not in it
    assert second.get_xdata()[0] == pytest.approx(2)  # of the steps 1, 2 and 3
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["plain", "distilled"]
    assert [line.get_xydata().tolist() for line in precisions.lines] == [[[20, 25]], []]


def test_metrics_of_a_run_are_lines_where_it_has_them(tmp_path):
    run = write(tmp_path / "run", [{"step": 0, "train/task": 3}, {"step": 1, "train/task": 2}])
    axes = new_chart(4, 3).subplots()
    draw_metrics(axes, run, ["train/task", "train/kd"], "Terms")
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[1, 3], [2, 2]]
    assert (line.get_label(), axes.get_title()) == ("task", "Terms")


def test_a_run_without_a_line_yet_is_an_empty_curve(tmp_path, drawn):
    draw_training({"new": write(tmp_path / "new", [])}, tmp_path / "curves.png")
    assert drawn[0].axes[0].lines[0].get_xydata().tolist() == []
