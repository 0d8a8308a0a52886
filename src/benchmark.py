"""How fast it is: ``python -m src.benchmark [option=value ...]``; ``--help`` lists the options.

Times networks, decoding with suppression, the data pipeline and the evaluator. A round times each
of them once, so that a machine that slows down slows all of them; the table has medians,
``benchmark.json`` every sample.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import hydra
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from src import checkpoint
from src.complexity import complexity
from src.data.dataset import FaceDataset
from src.detector import find_device
from src.entry import one_sentence, record, run_folder, write_json
from src.evaluation import wider_ap
from src.models import FaceDetector, featherface_v1
from src.models.featherface import PRESETS
from src.provenance import revision
from src.workloads import plausible_outputs, random_predictions, random_truth

log = logging.getLogger(__name__)

Job = tuple[dict[str, Any], Callable[[], Any]]
"""What is timed, as columns of the table, and the function to time."""


def benchmark(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Measure what ``config`` names; returns the content of ``benchmark.json``.

    ``rows`` hold ``what`` and, as it applies, ``size`` (pixels), ``parameters``, ``multiply_adds``
    and ``images``; ``seconds`` of every round, their ``median``, and ``ratio``: the median over
    rounds of the time divided by that of the first row of the same ``kind`` and size.
    """
    if min(config.rounds, config.threads, *config.sizes) < 1:
        raise ValueError(
            "expected rounds, threads and sizes of at least 1, got "
            f"{config.rounds}, {config.threads} and {list(config.sizes)}"
        )
    torch.set_num_threads(config.threads)
    cv2.setNumThreads(config.threads)
    device = find_device(config.device)
    record(folder, config)
    jobs = [*network_jobs(config, device), data_job(config), evaluator_job()]
    rows = time_in_turn(jobs, config.rounds)
    results = {
        "device": f"{device}, {_name(device)}", "threads": config.threads, "revision": revision(),
        "rows": rows,
    }  # fmt: skip
    write_json(folder / "benchmark.json", results)
    log.info("%s; threads: %d; medians of %d rounds\n%s",
             results["device"], config.threads, config.rounds, table(rows))  # fmt: skip
    log.info("run folder: %s", folder)
    return results


def network_jobs(config: DictConfig, device: torch.device) -> Iterator[Job]:
    """Each network on one image of each size, and the decoding of one image."""
    paths = config.checkpoints
    paths = [paths] if isinstance(paths, str) else paths
    models: dict[str, FaceDetector] = {path: checkpoint.load(path).model for path in paths}
    models = models or {preset: featherface_v1(preset) for preset in PRESETS}
    decoder = instantiate(config.decoder)
    for size in config.sizes:
        image = torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8, device=device)
        for name, model in models.items():
            cost = complexity(model, size, size)._asdict()
            row = {"kind": "network", "what": name, "size": size, **cost, "images": 1}
            model = model.eval().to(device)
            yield row, _synchronised(device, partial(_infer, model, image))
        outputs = plausible_outputs(next(iter(models.values())), image)
        spec = next(iter(models.values())).priors
        row = {"kind": "decoding", "what": "decoding and suppression", "size": size, "images": 1}
        yield row, _synchronised(device, partial(decoder, outputs, spec, size, size))


def data_job(config: DictConfig) -> Job:
    """Reading and augmenting training images, as a loader process does."""
    data = instantiate(config.data, _convert_="all")
    data.prepare_data()
    dataset = FaceDataset(data.train_annotations, data.augmentation, data.seed)
    row = {"kind": "data", "what": "reading and augmentation", "size": data.image_size}
    return {**row, "images": len(dataset)}, lambda: [dataset[0, i] for i in range(len(dataset))]


def evaluator_job() -> Job:
    """The WIDER FACE protocol on random faces and detections of the official number."""
    truth = random_truth()
    predictions = random_predictions(truth)
    row = {"kind": "evaluator", "what": "WIDER FACE protocol", "images": len(truth)}
    return row, lambda: wider_ap(predictions, truth)


def time_in_turn(jobs: Sequence[Job], rounds: int) -> list[dict[str, Any]]:
    """The rows of the jobs with their times, in seconds; a first round only warms up."""
    rows = [{**row, "seconds": []} for row, _ in jobs]
    for number in tqdm(range(rounds + 1), unit="round", disable=None):
        for row, (_, run) in zip(rows, jobs, strict=True):
            start = time.perf_counter()
            run()
            if number:
                row["seconds"].append(time.perf_counter() - start)
    first: dict[Any, list[float]] = {}
    for row in rows:
        base = first.setdefault((row["kind"], row.get("size")), row["seconds"])
        row["median"] = median(row["seconds"])
        row["ratio"] = median(a / b for a, b in zip(row["seconds"], base, strict=True))
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line per row; long paths keep their end."""
    heads = ("size", 6), ("parameters", 12), ("mult-adds", 11), ("ms/image", 10), ("images/s", 10)
    lines = [" " * 40 + "".join(f"{head:>{width}}" for head, width in (*heads, ("ratio", 7)))]
    for row in rows:
        per_image = row["median"] / row["images"]
        cost = " " * 23
        if "parameters" in row:
            cost = f"{row['parameters']:12,}{row['multiply_adds'] / 1e9:9.3f} G"
        speed = f"{1000 * per_image:10.2f}{1 / per_image:10.1f}{row['ratio']:7.2f}"
        lines.append(f"{row['what'][-40:]:40}{row.get('size', ''):>6}{cost}{speed}")
    return "\n".join(lines)


def _infer(model: FaceDetector, image: torch.Tensor) -> None:
    model(model.normalise(image))


def _synchronised(device: torch.device, run: Callable[[], Any]) -> Callable[[], None]:
    @torch.inference_mode()
    def timed() -> None:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return timed


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@hydra.main(version_base="1.3", config_path="../conf", config_name="benchmark")
@one_sentence
def main(config: DictConfig) -> None:
    benchmark(config, run_folder())


if __name__ == "__main__":
    main()
