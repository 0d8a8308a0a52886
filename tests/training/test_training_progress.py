"""A training without a terminal says how far it is."""

from __future__ import annotations

import itertools
import logging
import re

import pytest

from src.evaluate import evaluate
from src.train import train
from src.training.progress import Progress


@pytest.fixture
def told(monkeypatch, caplog):
    """``told()``: lines of a clock that moves 11 seconds whenever it is looked at."""
    caplog.set_level(logging.INFO, logger="src.report.progress")
    clock = itertools.count(0, 11)
    monkeypatch.setattr("src.training.trainer.Progress", lambda: Progress(lambda: next(clock)))
    return lambda: [r.message for r in caplog.records if r.name == "src.report.progress"]


SMALL = ["model.preset=v1_487103", "+model.channels=8", "+model.bifpn_repeats=1"]


def test_a_training_says_how_far_it_is(configure, tmp_path, told):
    train(configure("train", tmp_path, *SMALL, "trainer.max_epochs=4"), tmp_path)
    training = [line for line in told() if line.startswith("training")]
    number = r"[\d.e+-]+"
    form = rf"training: step \d+ of 12, epoch \d of 4, loss {number}, {number} images/s, .* left"
    assert training
    assert all(re.fullmatch(form, line) for line in training)


def test_an_evaluation_says_how_far_it_is(configure, tmp_path, told, weights):
    options = [f"checkpoint={weights}", "data.val_batch_size=1"]
    evaluate(configure("evaluate", tmp_path, *options), tmp_path)
    assert re.match(r"evaluation: image \d of 3, .* images/s, .* left", told()[0])
