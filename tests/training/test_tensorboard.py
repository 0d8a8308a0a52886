"""What TensorBoard finds in the files of a run: settings with the final AP, pictures, curves."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.plugins.pr_curve.metadata import FALSE_POSITIVES_INDEX as FALSE
from tensorboard.plugins.pr_curve.metadata import PRECISION_INDEX as PRECISION
from tensorboard.plugins.pr_curve.metadata import RECALL_INDEX as RECALL
from tensorboard.plugins.pr_curve.metadata import TRUE_POSITIVES_INDEX as HITS
from tensorboard.util.tensor_util import make_ndarray
from torch.utils.tensorboard import SummaryWriter

from src.evaluation import WiderResult
from src.train import train
from src.training.tensorboard import add_pr_curves

ONE_EPOCH = [
    "+model.channels=8", "+model.bifpn_repeats=1", "+model.context=conv3x3",
    "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1", "num_pictures=1",
]  # fmt: skip


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"tensors": 0, "images": 0})
    found.Reload()
    return found


def hyperparameters(found: EventAccumulator) -> tuple[dict[str, object], list[str]]:
    """Settings of the session, and names of the metrics that runs are compared by."""
    content = found.summary_metadata
    settings, metrics = {}, []
    for metadata in content.values():
        if metadata.plugin_data.plugin_name == "hparams":
            data = HParamsPluginData.FromString(metadata.plugin_data.content)
            for name, value in data.session_start_info.hparams.items():
                settings[name] = getattr(value, value.WhichOneof("kind"))
            metrics += [each.name.tag for each in data.experiment.metric_infos]
    return settings, metrics


def test_a_run_is_there_with_its_settings_and_final_ap(configure, tmp_path):
    loggers = "logger=[csv,tensorboard]"
    train(configure("train", tmp_path, *ONE_EPOCH, loggers), tmp_path)
    found = events(tmp_path / "tensorboard")
    settings, metrics = hyperparameters(found)
    assert settings["optimizer.lr"] == 1e-3
    assert settings["seed"] == 0
    assert not [name for name in settings if name.startswith("module.objective")]  # wiring
    assert {"final/ap", "final/ap_easy", "final/ap_medium", "final/ap_hard"} <= set(metrics)
    (ap,) = found.Scalars("final/ap")
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert ap.value == pytest.approx(written["ap"])
    assert "hp_metric" not in found.Tags()["scalars"]
    assert {"pictures/predictions", "pictures/pr_curves"} <= set(found.Tags()["images"])
    assert "pr_curves/hard" in found.Tags()["tensors"]
    assert (tmp_path / "metrics.csv").exists()


def test_a_curve_is_read_back_as_it_was(tmp_path):
    recall = np.linspace(0, 0.8, 1000)
    precision = np.linspace(1, 0.5, 1000)
    precision[:100] = 0  # nothing is found above these thresholds
    recall[:100] = 0
    faces = {"easy": 50, "medium": 0}
    curves = {"easy": (precision, recall), "medium": (precision * np.nan, recall)}
    result = WiderResult(metrics={}, curves=curves, num_images=1, num_faces=faces)
    with SummaryWriter(str(tmp_path)) as writer:
        add_pr_curves(writer, result, 7)
    found = events(tmp_path)
    assert found.Tags()["tensors"] == ["pr_curves/easy"]
    (event,) = found.Tensors("pr_curves/easy")
    table = make_ndarray(event.tensor_proto)
    assert event.step == 7
    assert table.shape[1] == 127
    # From the lowest threshold, where everything is found, to the highest.
    assert table[RECALL, 0] == pytest.approx(0.8)
    assert table[PRECISION, 0] == pytest.approx(0.5)
    assert table[HITS, 0] == 40
    assert table[FALSE, 0] == 40
    assert table[RECALL, 63] == pytest.approx(0.4, abs=0.01)
    assert table[HITS, -1] == table[FALSE, -1] == 0  # TensorBoard leaves such points out
    assert not math.isnan(table.sum())
