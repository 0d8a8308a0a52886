from __future__ import annotations

import copy
import io
import json
import os
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from src.evaluation import ImageTruth, WiderAP, detection_rows, wider_ap
from src.types import Detections


def detections_of(rows: np.ndarray) -> Detections:
    """Rounded to float32, as a network gives them."""
    boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
    scores = torch.from_numpy(rows[:, 4].copy()).float()
    return Detections(torch.from_numpy(boxes).float(), scores, torch.zeros(len(rows), 5, 2))


def as_detections(predictions: dict[str, np.ndarray]) -> dict[str, Detections]:
    return {name: detections_of(rows) for name, rows in predictions.items()}


def expected_metrics(
    detections: dict[str, Detections], truth: dict[str, ImageTruth]
) -> dict[str, float]:
    rows = {name: detection_rows(each) for name, each in detections.items()}
    return wider_ap(rows, truth).metrics


def update_in_pairs(
    metric: WiderAP, detections: dict[str, Detections], names: Sequence[str] = ()
) -> None:
    """Feed the images of ``names``, or all."""
    names = names or list(detections)
    for i in range(0, len(names), 2):
        metric.update(names[i : i + 2], [detections[name] for name in names[i : i + 2]])


@pytest.mark.parametrize("scores", ["continuous", "ties"])
def test_equals_the_function(random_case, scores):
    predictions, truth = random_case(3, scores=scores)
    detections = as_detections(predictions)
    metric = WiderAP(truth)
    update_in_pairs(metric, detections)
    assert metric.compute().metrics == pytest.approx(
        expected_metrics(detections, truth), abs=0, nan_ok=True
    )


def test_partial_run_counts_the_images_seen(random_case):
    predictions, truth = random_case(3)
    seen = dict(list(as_detections(predictions).items())[:3])
    metric = WiderAP(truth)
    update_in_pairs(metric, seen)
    result = metric.compute()
    expected = expected_metrics(seen, {name: truth[name] for name in seen})
    assert result.num_images == 3
    assert result.metrics == pytest.approx(expected, abs=0, nan_ok=True)


def test_image_that_comes_twice_counts_once(random_case):
    predictions, truth = random_case(3)
    detections = as_detections(predictions)
    metric = WiderAP(truth)
    update_in_pairs(metric, detections)
    update_in_pairs(metric, detections, list(detections)[:3])
    result = metric.compute()
    assert result.num_images == len(truth)
    assert result.metrics == pytest.approx(expected_metrics(detections, truth), abs=0, nan_ok=True)


def test_reset_forgets(random_case):
    predictions, truth = random_case(3)
    detections = as_detections(predictions)
    metric = WiderAP(truth)
    metric.update(["event/0.jpg"], [detections_of(np.array([[0, 0, 9, 9, 0.5]]))])
    metric.reset()
    update_in_pairs(metric, detections)
    expected = expected_metrics(detections, truth)
    assert metric.compute().metrics == pytest.approx(expected, abs=0, nan_ok=True)


def test_no_image_yet(random_case):
    metric = WiderAP(random_case(3)[1])
    metric.update([], [])
    result = metric.compute()
    assert result.num_images == 0
    assert np.isnan(result.metrics["ap"])


def test_states_are_compact(random_case):
    predictions, truth = random_case(3)
    metric = WiderAP(truth)
    update_in_pairs(metric, as_detections(predictions))
    assert {t.dtype for t in metric.images} == {torch.int64}
    assert {t.dtype for t in metric.scores} == {torch.float32}
    assert {t.dtype for t in metric.flags} == {torch.uint8}


def test_checkpoint_holds_no_truth_and_loads_with_weights_only(random_case):
    predictions, truth = random_case(3)
    module = torch.nn.ModuleDict({"net": torch.nn.Linear(2, 2), "metric": WiderAP(truth)})
    update_in_pairs(module["metric"], as_detections(predictions))
    assert set(module.state_dict()) == {"net.weight", "net.bias"}
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    module.load_state_dict(torch.load(file, weights_only=True))
    assert module["metric"].compute().num_images == len(truth)


def test_copies_are_independent(random_case):
    # Weight averaging copies whole modules, metrics included.
    predictions, truth = random_case(3)
    metric = WiderAP(truth)
    copied = copy.deepcopy(metric)
    update_in_pairs(metric, as_detections(predictions))
    copied.update([], [])
    assert copied.compute().num_images == 0


def test_half_precision_module_leaves_the_states_alone(random_case):
    predictions, truth = random_case(3)
    detections = as_detections(predictions)
    module = torch.nn.ModuleDict({"metric": WiderAP(truth)}).half()
    update_in_pairs(module["metric"], detections)
    expected = expected_metrics(detections, truth)
    actual = module.half()["metric"].compute().metrics
    assert actual == pytest.approx(expected, abs=0, nan_ok=True)


@pytest.mark.parametrize(
    ("names", "rows", "message"),
    [
        (["event/x.jpg"], [np.empty((0, 5))], r"one of the 6 images .* got 'event/x.jpg'"),
        (["event/0.jpg"], [], r"each of 1 images, got 0"),
        (["event/0.jpg"], [np.array([[0, 0, 1, 1, np.nan]])], r"finite .* for event/0.jpg"),
        (["event/0.jpg"], [np.array([[0, 0, np.inf, 1, 1]])], r"finite .* for event/0.jpg"),
    ],
)
def test_errors(random_case, names, rows, message):
    metric = WiderAP(random_case(3)[1])
    with pytest.raises(ValueError, match=message):
        metric.update(names, [detections_of(each) for each in rows])


def test_no_truth():
    with pytest.raises(ValueError, match="ground truth of at least one image"):
        WiderAP({})


SHARES = [
    ([0, 2, 4], [1, 3, 5]),
    ([0, 2, 4, 0], [1, 3, 5, 2]),  # filled up by DistributedSampler; 2 is on both ranks
    ([0, 1, 2, 3, 4, 5], []),  # a rank that saw nothing
    ([], [0, 1, 2]),
    ([], []),
]
"""Images of the two ranks, case by case."""


def names_of(share: Sequence[int]) -> list[str]:
    return [f"event/{i}.jpg" for i in share]


def _run_rank(rank, folder, detections, truth):
    """One process of the group: scores its share of the images of each case."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting_point", rank=rank, world_size=2
    )
    torch.set_num_threads(1)
    metric = WiderAP(truth)
    results = []
    for share in SHARES:
        metric.reset()
        if share[rank]:
            update_in_pairs(metric, detections, names_of(share[rank]))
        joined = metric.compute()
        # After the ranks were joined a rank goes on with its own images only.
        assert sum(len(block) for block in metric.images) == len(share[rank])
        results.append((joined.metrics, joined.num_images))
    (folder / f"{rank}.json").write_text(json.dumps(results))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(random_case, tmp_path):
    predictions, truth = random_case(3)
    detections = as_detections(predictions)
    # One pair of processes for all cases: starting them takes seconds, scoring milliseconds.
    torch.multiprocessing.spawn(_run_rank, (tmp_path, detections, truth), nprocs=2)
    for rank in range(2):
        results = json.loads((tmp_path / f"{rank}.json").read_text())
        for share, (metrics, num_images) in zip(SHARES, results, strict=True):
            seen = {name: detections[name] for part in share for name in names_of(part)}
            expected = expected_metrics(seen, {name: truth[name] for name in seen})
            assert num_images == len(seen), share
            assert metrics == pytest.approx(expected, abs=0, nan_ok=True), share
