"""CPU time of ``wider_ap`` on a validation set of full size, beside the loop reference.

    python experiments/001-foundation/bench_wider_ap.py

3,226 images with 100 detections each. The faces are the official ones if FEATHERFACE_SHARED
(default ../shared) holds them, else random ones of the same number; the detections are generated.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from src.evaluation import ImageTruth, read_ground_truth, wider_ap
from src.profiling.workloads import PER_IMAGE, random_predictions, random_truth

ROOT = Path(__file__).parents[2]
SLOW_SHARE = 100
"""The reference scores every hundredth image and its time is scaled up: all would take minutes."""


def load_truth() -> tuple[str, dict[str, ImageTruth]]:
    shared = Path(os.environ.get("FEATHERFACE_SHARED", ROOT.parent / "shared"))
    folder = shared / "widerface" / "ground_truth"
    if folder.is_dir():
        return "official", read_ground_truth(folder)
    return "random", random_truth()


def load_slow() -> Callable[..., dict[str, float]]:
    path = ROOT / "tests" / "reference" / "slow_wider_ap.py"
    spec = importlib.util.spec_from_file_location("slow_wider_ap", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.slow_wider_ap


def cpu_seconds(function: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    start = time.process_time()
    result = function(*args)
    return time.process_time() - start, result


def main() -> None:
    kind, truth = load_truth()
    predictions = random_predictions(truth)
    num_faces = sum(len(image.boxes_xywh) for image in truth.values())
    print(f"{len(truth)} images, {num_faces} {kind} faces, {PER_IMAGE} detections per image")
    runs = [cpu_seconds(wider_ap, predictions, truth) for _ in range(3)]
    print(f"wider_ap            {min(seconds for seconds, _ in runs):8.3f} s CPU, best of 3")

    names = list(truth)[::SLOW_SHARE]
    part = {name: predictions[name] for name in names}, {name: truth[name] for name in names}
    seconds, expected = cpu_seconds(load_slow(), *part)
    scaled = seconds * len(truth) / len(names)
    print(f"loop reference      {scaled:8.0f} s CPU, scaled from {len(names)} images")
    actual = wider_ap(*part).metrics
    largest = max(abs(actual[name] - expected[name]) for name in expected)
    print(f"largest difference  {largest:8.1e} AP on those images")


if __name__ == "__main__":
    main()
