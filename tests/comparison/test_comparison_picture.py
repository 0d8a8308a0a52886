from __future__ import annotations

import numpy as np
import pytest
from fabricated_runs import fabricate
from matplotlib.figure import Figure

from src.comparison import compare_settings, draw_comparison, group_runs, read_runs
from src.comparison.picture import learning_curves


def compared(folder):
    return compare_settings(group_runs(read_runs([folder])[0]))


def test_draws_settings_and_seeds(tmp_path, monkeypatch):
    for number in range(6):
        fabricate(
            tmp_path / "m" / str(number), f"recipe.lr={number // 2 + 1}", f"seed={number % 2}",
            ap=(0.9, 0.8, 0.1 * number), curve=np.linspace(0.1, 0.5, 10),
        )  # fmt: skip
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))
    )
    path = tmp_path / "new" / "picture.png"
    draw_comparison(compared(tmp_path / "m"), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    left, right = figures[0].subfigs
    easy, _, _, change = left.axes
    wanted = ["recipe.lr=1", "recipe.lr=2", "recipe.lr=3"]
    assert [text.get_text() for text in easy.get_yticklabels()] == wanted
    assert [text.get_text() for text in right.legends[0].get_texts()] == wanted
    assert [text.get_text() for text in change.texts] == ["base"]
    whole, half = right.axes
    assert [len(line.get_xdata()) for line in whole.lines] == [10, 10, 10]
    assert half.lines[0].get_xdata().tolist() == [50, 60, 70, 80, 90, 100]
    assert len({(line.get_color(), line.get_marker()) for line in whole.lines}) == 3


@pytest.mark.parametrize("curve", [(), (0.1,) * 8])
def test_draws_single_runs(curve, tmp_path):
    for number in range(11):  # more than there are colours
        fabricate(tmp_path / str(number), f"recipe.lr={number + 1}", curve=curve)
    draw_comparison(compared(tmp_path), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_curves_are_averaged_where_all_seeds_have_them(tmp_path):
    fabricate(tmp_path / "0", "seed=0", curve=(0.1, 0.2, 0.3))
    fabricate(tmp_path / "1", "seed=1", curve=(0.3, 0.6))
    fabricate(tmp_path / "2", "seed=2", curve=())
    runs, _ = read_runs([tmp_path])
    steps, curves = learning_curves(runs)
    assert steps.tolist() == [10, 20]
    assert curves.tolist() == [[0.1, 0.2], [0.3, 0.6]]


def test_no_curves(tmp_path):
    runs, _ = read_runs([fabricate(tmp_path / "0", curve=())])
    steps, curves = learning_curves(runs)
    assert steps.shape == (0,)
    assert curves.shape == (0, 0)
