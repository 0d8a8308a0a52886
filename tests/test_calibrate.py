"""The command that moves scores to where a threshold of 0.5 makes sense."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from composing import TINY_DATA, composed

from src import checkpoint
from src.calibrate import calibrate
from src.cli.settings import check_types
from src.evaluation import calibration
from src.models import FaceDetector, featherface_v1, nano_b


@pytest.mark.parametrize("build", [lambda: nano_b(channels=16), featherface_v1])
def test_raised_logits(build):
    torch.manual_seed(0)
    model: FaceDetector = build().eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        before = model(images)
        model.raise_scores(0.75)
        after = model(images)
    torch.testing.assert_close(after.logits[..., 0], before.logits[..., 0], rtol=0, atol=0)
    torch.testing.assert_close(after.logits[..., 1], before.logits[..., 1] + 0.75)
    assert torch.equal(after.deltas, before.deltas)


def test_calibrate(student, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    given = [
        f"checkpoint={student}", f"data.root={tmp_path / 'tree'}", *TINY_DATA,
        "data.num_held_out=2", "trainer=cpu", "decoder.score_threshold=0",
    ]  # fmt: skip
    # An untrained network ranks nothing: what is right is decided here.
    monkeypatch.setattr("src.calibrate.judge", _bright_ones_are_right)
    with composed("calibrate", folder, *given) as config:
        check_types(config)
        results = calibrate(config, folder)
    assert json.loads((folder / "calibration.json").read_text()) == results
    assert results["even_score"] == pytest.approx(0.3, abs=0.02)
    assert (folder / "calibration.png").stat().st_size > 10_000
    before, after = (checkpoint.load(file) for file in (student, folder / "calibrated.ckpt"))
    assert after.metadata["calibration"] == {"raised": results["raised"]}
    assert after.metadata["revision"] == before.metadata["revision"]
    images = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        moved = (after.model(images).logits - before.model(images).logits)[..., 1]
    torch.testing.assert_close(moved, torch.full_like(moved, results["raised"]))


def _bright_ones_are_right(found, truth):
    assert set(found) <= set(truth)
    scores = np.linspace(0.01, 0.99, 2000)
    chance = 1 / (1 + np.exp(-4 * (np.log(scores / (1 - scores)) - np.log(0.3 / 0.7))))
    right = np.random.default_rng(0).random(2000) < chance
    return calibration.Judged(scores, right, int(right.sum()))
