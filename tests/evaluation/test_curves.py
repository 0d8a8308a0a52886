from __future__ import annotations

import numpy as np
import pytest

from src.evaluation import ImageTruth, draw_pr_curves, wider_ap

PNG = b"\x89PNG"


def test_draws_a_picture(tmp_path, random_case):
    path = tmp_path / "new" / "curves.png"
    draw_pr_curves(wider_ap(*random_case(3)), path)
    assert path.read_bytes().startswith(PNG)


def test_draws_settings_without_faces(tmp_path):
    none = np.empty(0, dtype=bool)
    truth = {"e/a.jpg": ImageTruth(np.empty((0, 4)), none, none, none)}
    draw_pr_curves(wider_ap({}, truth), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)


def test_suffix_decides_the_format(tmp_path, random_case):
    draw_pr_curves(wider_ap(*random_case(3)), tmp_path / "curves.svg")
    text = (tmp_path / "curves.svg").read_text()
    assert "<svg" in text
    with pytest.raises(ValueError, match="not supported"):
        draw_pr_curves(wider_ap(*random_case(3)), tmp_path / "curves.what")
