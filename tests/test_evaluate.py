"""Evaluation of networks and of prediction files, on a tiny generated tree and on real images."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
from composing import TINY_DATA, composed

from src.evaluate import evaluate
from src.evaluation import read_predictions

LEVELS = ("ap_easy", "ap_medium", "ap_hard")
QUIET = ["trainer.accelerator=cpu", "num_pictures=0"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return tmp_path_factory.mktemp("data") / "tiny"


@pytest.fixture
def run(tree, tmp_path):
    """``run("checkpoint=...", ...)`` on the tiny tree: what was returned, and the run folder."""
    runs = iter(range(9))

    def start(*options):
        folder = tmp_path / f"run{next(runs)}"
        given = [*TINY_DATA, f"data.root={tree}", *QUIET, *options]
        with composed("evaluate", folder, *given) as config:
            return evaluate(config, folder), folder

    return start


def test_a_network_and_its_prediction_files_score_alike(run, weights):
    metrics, folder = run(f"checkpoint={weights}", "save_predictions=true", "num_pictures=2")
    again, other = run(f"predictions={folder / 'predictions'}")
    assert {n: again[n] for n in LEVELS} == pytest.approx({n: metrics[n] for n in LEVELS}, abs=1e-6)
    assert again["faces"] == metrics["faces"]
    assert again["coco"] == pytest.approx(metrics["coco"], abs=1e-6, nan_ok=True)
    assert metrics["coco"]["max_detections"] == 100
    assert 0 <= metrics["coco"]["ap"] <= metrics["coco"]["ap50"] <= 1
    assert (folder / "predictions.png").exists()
    assert (folder / "pr_curves.png").exists()
    assert (other / "pr_curves.png").exists()


def test_metrics_say_what_was_measured_and_how(run, weights, tree):
    metrics, folder = run(f"checkpoint={weights}", "views.flip=true", "decoder.nms_iou=0.5")
    written = json.loads((folder / "metrics.json").read_text())
    for name in (*LEVELS, "ap"):
        assert written[name] is None or 0 <= written[name] <= 1
    assert written["images"] == metrics["images"] == 3
    assert written["checkpoint"] == str(weights)
    truth = str(tree / "ground_truth")
    assert written["data"] == {"root": str(tree), "split": "val", "ground_truth": truth}
    assert written["protocol"] == {
        "long_side": 96,
        "score_threshold": 0.02,
        "nms_iou": 0.5,
        "top_k": 5000,
        "scales": [1.0],
        "flip": True,
        "precision": "32-true",
    }
    provenance = json.loads((folder / "run.json").read_text())
    assert provenance["revision"]
    assert provenance["command"].startswith("python -m src.evaluate data.generator.num_train=6 ")
    assert f"checkpoint={weights}" in provenance["command"]


def test_options_reach_the_network(run, weights):
    def files(*options):
        _, folder = run(f"checkpoint={weights}", "save_predictions=true", *options)
        names = [str(p.relative_to(folder / "predictions").with_suffix(".jpg"))
                 for p in (folder / "predictions").rglob("*.txt")]  # fmt: skip
        assert len(names) == 3
        return read_predictions(folder / "predictions", names)

    # Batches of one: in larger ones the padding changes what is seen at the border.
    plain = files("data.val_batch_size=1")
    for name, rows in plain.items():
        assert rows.shape[1] == 5
        assert (rows[:-1, 4] >= rows[1:, 4]).all(), name

    def same(*options):
        changed = files("data.val_batch_size=1", *options)
        return all(np.array_equal(changed[name], rows) for name, rows in plain.items())

    assert same("data.val_long_side=null")  # 96 pixels is the original size
    assert not same("data.val_long_side=64")
    assert not same("views.scales=[0.5,1,2]")
    assert not same("views.flip=true")
    assert not same("decoder.top_k=5")


def test_prediction_files_make_network_options_idle(run, weights, caplog):
    _, folder = run(f"checkpoint={weights}", "save_predictions=true")
    run(f"predictions={folder / 'predictions'}", "save_predictions=true")
    assert "save_predictions has no effect" in caplog.text


def test_images_that_would_share_a_prediction_file_stop_the_run_first(run, weights, tree, tmp_path):
    run(f"checkpoint={weights}")  # the tree is there
    mine = tmp_path / "mine"
    shutil.copytree(tree / "val", mine / "val")
    labels = mine / "val" / "label.txt"
    first = labels.read_text().splitlines()[0].removeprefix("# ")
    twin = first.replace(".jpg", ".png")
    shutil.copy(mine / "val" / "images" / first, mine / "val" / "images" / twin)
    labels.write_text(labels.read_text() + f"# {twin}\n")
    options = [f"checkpoint={weights}", "save_predictions=true", f"data.root={mine}", *QUIET]
    with (
        composed("evaluate", tmp_path / "own", "data=widerface", *options) as config,
        pytest.raises(ValueError, match="expected a prediction file of its own for each image"),
    ):
        evaluate(config, tmp_path / "own")


def test_a_missing_prediction_file_is_named(run, weights):
    _, folder = run(f"checkpoint={weights}", "save_predictions=true")
    next((folder / "predictions").rglob("*.txt")).unlink()
    with pytest.raises(FileNotFoundError, match=r"each of 3 images, got none for 1 \(.*\.txt\)"):
        run(f"predictions={folder / 'predictions'}")


@pytest.mark.parametrize("options", [[], ["checkpoint=a.ckpt", "predictions=b"]])
def test_exactly_one_thing_is_scored(run, options):
    with pytest.raises(ValueError, match=r"either checkpoint=<file> or predictions=<folder>, got"):
        run(*options)


def test_data_of_a_stranger_needs_no_mat_files(run, weights, tree, tmp_path, caplog):
    run(f"checkpoint={weights}")  # the tree is there
    mine = tmp_path / "mine"
    shutil.copytree(tree / "val", mine / "val")
    (mine / "val" / "wider_val.txt").unlink()
    options = [f"checkpoint={weights}", f"data.root={mine}", *QUIET, "data.num_workers=0"]
    with (
        caplog.at_level(logging.INFO),
        composed("evaluate", tmp_path / "own", "data=widerface", *options) as config,
    ):
        metrics = evaluate(config, tmp_path / "own")
    assert metrics["images"] == 3
    assert metrics["faces"]["hard"] > 0
    assert metrics["coco"]["ap"] >= 0
    assert f"no .mat ground truth for {mine}: evaluating against the labels" in caplog.text


@pytest.mark.real_data
@pytest.mark.slow
def test_published_weights_reach_the_published_precision(shared, tmp_path):
    data = ["data=widerface", f"data.root={shared / 'widerface'}", "data.num_val_images=24",
            "data.num_workers=0", *QUIET]  # fmt: skip
    scored = {
        "network": f"checkpoint={shared / 'weights' / 'mobilenet0.25_Final.pth'}",
        "files": f"predictions={shared / 'golden' / 'predictions_v1'}",
    }
    metrics = {}
    for name, what in scored.items():
        with composed("evaluate", tmp_path / name, *data, what) as config:
            metrics[name] = evaluate(config, tmp_path / name)
    assert metrics["network"]["images"] == 24
    for level in LEVELS:
        # The files hold boxes of two decimals.
        assert metrics["network"][level] == pytest.approx(metrics["files"][level], abs=1e-3)
        assert metrics["network"][level] > 0.5
