"""Against figures of the official evaluation on real images."""

from __future__ import annotations

import json

import pytest

from src.evaluation import read_ground_truth, read_predictions, wider_ap, write_ground_truth
from src.evaluation.ground_truth import LEVELS

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def truth(shared):
    return read_ground_truth(shared / "widerface" / "ground_truth")


@pytest.fixture(scope="module")
def names(shared):
    lines = (shared / "widerface" / "val" / "wider_val.txt").read_text().split("\n")
    return [line.strip().lstrip("/") for line in lines if line.startswith("/")]


def test_official_counts(truth):
    # The counts that WIDER FACE publishes for its validation set.
    assert len(truth) == 3226
    assert sum(len(image.boxes_xywh) for image in truth.values()) == 39708
    counts = {
        level: sum(getattr(image, level).sum() for image in truth.values()) for level in LEVELS
    }
    assert counts == {"easy": 7211, "medium": 13319, "hard": 31958}


def test_golden_predictions(shared, truth, names):
    golden = json.loads((shared / "golden" / "predictions_v1_ap.json").read_text())
    predictions = read_predictions(shared / "golden" / "predictions_v1", names)
    result = wider_ap(predictions, {name: truth[name] for name in names})
    assert result.num_images == golden["images"] == 306
    for name in ("ap_easy", "ap_medium", "ap_hard"):
        assert result.metrics[name] == pytest.approx(golden[name], abs=1e-9)


def test_real_files_equal_slow_reference(slow_wider_ap, shared, truth, names):
    chosen = names[::50]
    predictions = read_predictions(shared / "golden" / "predictions_v1", chosen)
    predictions = {name: rows[:40] for name, rows in predictions.items()}
    part = {name: truth[name] for name in chosen}
    expected = slow_wider_ap(predictions, part)
    assert wider_ap(predictions, part).metrics == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.slow
def test_official_files_survive_writing(tmp_path, truth):
    write_ground_truth(tmp_path, truth)
    again = read_ground_truth(tmp_path)
    assert again.keys() == truth.keys()
    for name, image in truth.items():
        assert all((a == b).all() for a, b in zip(again[name], image, strict=True))
