"""How fast it is: ``python -m src.benchmark [option=value ...]``; ``--help`` lists the options.

Times networks, checkpoints and exported files side by side, decoding with suppression, the data
pipeline and the evaluator, and where the time of a training step goes. A round times each of them
once, so that a machine that slows down slows all of them; the table has medians, ``benchmark.json``
every sample, ``benchmark.png`` the networks. ``what=detectors`` compares whole detectors, of every
format and of other projects: see :mod:`src.contest`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from lightning import seed_everything
from omegaconf import DictConfig

from src import checkpoint
from src.cli import command
from src.cli.composed import composed_command, typed
from src.cli.settings import check_types
from src.cli.targets import instantiate
from src.contest.entry import read_entries
from src.contest.picture import draw_contest
from src.contest.run import contest
from src.contest.tables import flat, method, results_table, write_csv
from src.data.datamodule import FaceDataModule
from src.deploy import FORMATS, SUFFIX, OnnxNetwork
from src.detection.decoding import Decoder
from src.evaluation import wider_ap
from src.models import FaceDetector, build_model, featherface_v1
from src.models.featherface import PRESETS
from src.profiling.complexity import complexity
from src.profiling.devices import device_name, find_device
from src.profiling.timing import Job, compared, draw_times, table, time_in_turn
from src.profiling.workloads import plausible_outputs, random_predictions, random_truth
from src.runs.files import write_json
from src.runs.provenance import revision
from src.runs.record import record
from src.training.start import initial_model, lay_out
from src.training.step_times import StepTimes
from src.training.trainer import build_trainer

log = logging.getLogger(__name__)

_MOST_PARAMETERS = 10_000_000
"""Of a network that is built because a small file says that it is one."""

WHAT = ("network", "decoding", "data", "evaluator", "training", "detectors")
"""Kinds of rows."""


class Network(NamedTuple):
    """A network to time."""

    row: dict[str, Any]
    """What is known of it at any size."""
    model: FaceDetector
    """Itself, or for an exported one its like without its weights, to count and to decode with."""
    run: Callable[[np.ndarray], Any]
    """Takes one image, uint8 [1, 3, H, W]."""


def benchmark(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Measure what ``config`` names; returns the content of ``benchmark.json``.

    ``rows`` hold ``kind``, ``what`` and, as it applies, ``runtime`` (eager or onnx), ``size``
    (pixels), ``parameters``, ``multiply_adds``, ``bytes`` (of the file) and ``images``; ``seconds``
    of every round and what :func:`src.profiling.timing.time_in_turn` makes of them.
    """
    sizes = [config.sizes] if isinstance(config.sizes, int) else list(config.sizes)
    if not sizes:
        raise ValueError("expected at least one size, got none; set sizes=[320,640]")
    wanted = [config.what] if isinstance(config.what, str) else list(config.what)
    if not wanted or not set(wanted) <= set(WHAT):
        raise ValueError(f"expected what to be some of {', '.join(WHAT)}; got {wanted}")
    torch.set_num_threads(config.threads)
    cv2.setNumThreads(config.threads)
    paths = config.checkpoints or []
    paths = [paths] if isinstance(paths, str) else paths
    device = _device(config.device, paths)
    record(folder, config)
    jobs: list[Job] = []
    if {"network", "decoding"} & set(wanted):
        networks = load_networks(paths, config.threads, device)
        found = network_jobs(networks, sizes, instantiate(config.decoder), device)
        jobs += [job for job in found if job[0]["kind"] in wanted]
    if "data" in wanted:
        jobs.append(data_job(config))
    if "evaluator" in wanted:
        jobs.append(evaluator_job())
    rows = time_in_turn(jobs, config.rounds)
    if "training" in wanted:
        rows += training_rows(config, folder)
    results = {
        "device": f"{device}, {device_name(device)}", "threads": config.threads,
        "revision": revision(), "rows": rows,
    }  # fmt: skip
    if "detectors" in wanted:
        results["detectors"] = detector_rows(config, folder, paths, sizes)
    write_json(folder / "benchmark.json", results)
    drawn = [row for row in rows if row["kind"] == "network"]
    if drawn:
        draw_times(drawn, folder / "benchmark.png")
    if rows:
        log.info("%s; threads: %d; medians of %d rounds\n%s",
                 results["device"], config.threads, config.rounds, table(rows))  # fmt: skip
    log.info("run folder: %s", folder)
    return results


def load_networks(paths: Sequence[str], threads: int, device: torch.device) -> list[Network]:
    """Checkpoints, published weights and ONNX files; without any, every preset untrained."""
    if not paths:
        return [_eager({"what": name}, featherface_v1(name), device) for name in PRESETS]
    return [_load(path, threads, device) for path in paths]


def _load(path: str, threads: int, device: torch.device) -> Network:
    others = [suffix for form in FORMATS.values() for suffix in form.suffixes if suffix != SUFFIX]
    if path.endswith((*others, ".yaml", ".yml")):
        raise ValueError(
            f"expected checkpoints and {SUFFIX} files of src.export for what=network, got {path}; "
            "set what=detectors"
        )
    if Path(path).suffix != SUFFIX:
        model = checkpoint.load(path).model
        return _eager({"what": path, "bytes": checkpoint.find(path).stat().st_size}, model, device)
    network = OnnxNetwork(path, threads=threads)
    row = {"what": path, "runtime": "onnx", "bytes": Path(path).stat().st_size}
    return Network(row, described(Path(path), network.metadata.get("model")), network)


def described(file: Path, config: Any) -> FaceDetector:
    """The network that an exported file says it is, in eval mode; its costs are counted.

    Raises:
        ValueError: it describes none, or one that the file has no room for.
    """
    try:
        with torch.device("meta"):  # without memory
            count = sum(each.numel() for each in build_model(config).parameters())
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{file}: expected the settings of a network in its metadata, got others "
            f"({type(error).__name__}: {error}); export the checkpoint again"
        ) from error
    most = max(_MOST_PARAMETERS, file.stat().st_size)  # a byte each, where they are quantised
    if count > most:
        raise ValueError(
            f"{file}: expected a network of at most {most:,} parameters, got the description of "
            f"one of {count:,}; export it again"
        )
    return build_model(config).eval()


def _eager(row: dict[str, Any], model: FaceDetector, device: torch.device) -> Network:
    model = model.eval().to(device)

    def run(image: np.ndarray) -> None:
        model(model.normalise(torch.from_numpy(image).to(device)))

    return Network({**row, "runtime": "eager"}, model, run)


def network_jobs(
    networks: Sequence[Network], sizes: Sequence[int], decoder: Decoder, device: torch.device
) -> Iterator[Job]:
    """Each network on one image of each size, and the decoding of one image."""
    for size in sizes:
        image = np.random.default_rng(0).integers(0, 256, (1, 3, size, size), dtype=np.uint8)
        for network in networks:
            cost = complexity(network.model, size, size)._asdict()
            row = {"kind": "network", **network.row, "size": size, **cost, "images": 1}
            yield row, _synchronised(device, partial(network.run, image))
        model = networks[0].model.to(device)
        outputs = plausible_outputs(model, torch.from_numpy(image).to(device))
        row = {"kind": "decoding", "what": "decoding and suppression", "size": size, "images": 1}
        yield row, _synchronised(device, partial(decoder, outputs, model.priors, size, size))


def detector_rows(
    config: DictConfig, folder: Path, paths: Sequence[str], sizes: Sequence[int]
) -> list[dict[str, Any]]:
    """Whole detectors side by side; writes ``detectors.md``, ``detectors.csv``, ``detectors.png``.

    Args:
        config: of the command.
        folder: for the files.
        paths: of the detectors.
        sizes: of the images that are timed, pixels.
    """
    if not paths:
        raise ValueError(
            "expected at least one detector for what=detectors, got none; set "
            "checkpoints=[FILE,FILE]"
        )
    if config.device not in (None, "cpu"):
        raise ValueError(
            f"expected device=cpu for what=detectors, whose runtimes are those of the CPU, got "
            f"{config.device}"
        )
    entries = read_entries(paths)
    data: FaceDataModule = instantiate(config.data, _convert_="all")
    data.prepare_data()
    data.setup("validate")
    annotations = data.val_annotations
    faces = data.truth() if config.measure_ap else {}
    results = contest(
        entries, [each.path for each in annotations[: config.num_images]], sizes,
        instantiate(config.decoder), threads=config.threads, rounds=config.rounds,
        truth={each.name: (each.path, faces[each.name]) for each in annotations if faces} or None,
    )  # fmt: skip
    shown = method(
        results, device=device_name(torch.device("cpu")), threads=config.threads,
        rounds=config.rounds, revision=revision(),
        data=f"{len(annotations)} images of {config.data.root}",
    )  # fmt: skip
    lines = f"{results_table(results)}\n\n{shown}\n"
    (folder / "detectors.md").write_text(lines, encoding="utf-8")
    write_csv(results, folder / "detectors.csv")
    draw_contest(results, folder / "detectors.png")
    log.info("%s", lines)
    return [
        {**flat(each), "network_seconds": list(each.network.seconds),
         "image_to_faces_seconds": list(each.whole.seconds)}
        for each in results
    ]  # fmt: skip


def data_job(config: DictConfig) -> Job:
    """Reading and augmenting training images, as a loader process does."""
    data = instantiate(config.data, _convert_="all")
    data.prepare_data()
    dataset = data.train_dataset()
    row = {"kind": "data", "what": "reading and augmentation", "size": data.image_size}
    return {**row, "images": len(dataset)}, lambda: [dataset[0, i] for i in range(len(dataset))]


def evaluator_job() -> Job:
    """The WIDER FACE protocol on random faces and detections of the official number."""
    truth = random_truth()
    predictions = random_predictions(truth)
    row = {"kind": "evaluator", "what": "WIDER FACE protocol", "images": len(truth)}
    return row, lambda: wider_ap(predictions, truth)


def training_rows(config: DictConfig, folder: Path) -> list[dict[str, Any]]:
    """A step of ``python -m src.train`` with the settings of ``training``, and its parts."""
    settings = composed_command("train", typed(config.training or {}), where="training")
    settings.run_dir = str(folder)
    check_types(settings)
    seed_everything(settings.seed, workers=True, verbose=False)
    times = StepTimes()
    model = initial_model(settings)
    module = instantiate(settings.module, model=model, _convert_="all")
    data = instantiate(settings.data, _convert_="all")
    limits = {"max_steps": times.skip + config.steps, "max_epochs": -1, "limit_val_batches": 0}
    trainer = build_trainer({**settings.trainer, **limits}, [times])
    lay_out(model, settings.channels_last, trainer.strategy.root_device)
    trainer.fit(module, data)
    step = [sum(parts) for parts in zip(*times.seconds.values(), strict=True)]
    images = module.images_per_step
    shown = {"training step": step, **{f"  {part}": s for part, s in times.seconds.items()}}
    return compared(
        [
            {"kind": "training", "what": what, "size": data.image_size, "images": images,
             "seconds": seconds}
            for what, seconds in shown.items() if any(seconds)
        ]
    )  # fmt: skip


def _device(name: str | None, paths: Sequence[str]) -> torch.device:
    """Where checkpoints run: beside exported files, which run on the CPU, there too."""
    exported = [path for path in paths if Path(path).suffix == SUFFIX]
    device = find_device("cpu" if name is None and exported else name)
    if device.type != "cpu" and exported:
        raise ValueError(
            f"expected device=cpu beside {exported[0]}, which ONNX Runtime runs on the "
            f"CPU, got {device}"
        )
    return device


def _synchronised(device: torch.device, run: Callable[[], Any]) -> Callable[[], None]:
    @torch.inference_mode()
    def timed() -> None:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return timed


main = command("benchmark", benchmark)


if __name__ == "__main__":
    main()
