"""What Hydra refuses is said in one sentence that lists the options."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from src.command import CONF, refusal

GROUPS = "backbone_early, backbone_late, cbam, bifpn, ssh, heads"


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("pruning.rates.neck=0.3", f"a setting of pruning.rates among {GROUPS}; got 'neck'"),
        ("pruning.rates={neck:0.3}", f"a setting of pruning.rates among {GROUPS}; got 'neck'"),
        ("kd=weightd", "kd= of feature, fixed, none, weighted; got 'weightd'"),
        ("model.chanels=8", "a setting of model among name, preset, prior_sizes; got 'chanels'"),
        ("sede=1", "a setting of train among model, data, .*; got 'sede'"),
    ],
)
def test_unknown_names(argument, sentence):
    assert re.fullmatch(f"expected {sentence}", sentence_for("pruning=soft", argument))


def test_what_cannot_be_parsed_is_one_line():
    sentence = sentence_for("seed=1", "model==")
    assert "\n" not in sentence
    assert "model==" in sentence


def sentence_for(*arguments: str) -> str:
    context = initialize_config_dir(str(CONF), version_base="1.3")
    with context, pytest.raises(HydraException) as caught:
        compose("train", list(arguments))
    return refusal(caught.value, "train", arguments)


@pytest.mark.slow
def test_a_command_ends_with_it(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "src.prune", "checkpoint=a", f"hydra.run.dir={folder}"]
    ended = subprocess.run([*command, "pruning.rates.neck=0.3"], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.strip() == (
        f"error: expected a setting of pruning.rates among {GROUPS}; got 'neck'"
    )
    assert not folder.exists()
