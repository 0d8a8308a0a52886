"""Search the pruning rates: ``python -m src.sweep_pruning checkpoint=...``; ``--help`` lists all.

Hydra's sweeper proposes rates; each job is a trial: it prunes the network, trains what is left for
a fixed number of steps and measures the loss on training images set aside.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from src import checkpoint
from src.cli import command
from src.cli.targets import instantiate
from src.data.datamodule import FaceDataModule
from src.detection.objective import DetectionObjective
from src.models import FaceDetector, set_norm_momentum
from src.profiling.devices import find_device
from src.profiling.timing import time_in_turn
from src.pruning import PruningSpec, prune_at_once, recalibrate
from src.report.progress import tracked
from src.runs.record import record
from src.search.job import watcher
from src.search.plans import check_trial
from src.search.recovery import Reports, held_out_loss, keep_last, recover
from src.training.logging import RunCSVLogger, close, log_files, log_result
from src.training.trainer import build_trainer

log = logging.getLogger(__name__)

ROUNDS = 9
"""Rounds in which the latency is measured; the median counts."""


def trial(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Prune ``config.checkpoint`` by the rates of ``config``, recover, and measure.

    Everything random follows from ``config.seed``, so trials differ in their rates alone. A folder
    with the checkpoint of a killed trial goes on from it.

    Returns:
        ``objective`` (the loss on the images set aside, and the second objective where there is
        one), ``attributes`` for the study, and ``given_up``, whether it was stopped early.
    """
    start = time.perf_counter()
    check_trial(config)
    spec: PruningSpec = instantiate(config.pruning, _convert_="all")
    dense = checkpoint.load(config.checkpoint).model
    datamodule: FaceDataModule = instantiate(config.data, _convert_="all")
    L.seed_everything(config.seed, workers=True, verbose=False)
    model, done = prune_at_once(
        dense, spec, height=config.height, width=config.width,
        batches=datamodule.training_crops(spec.images_needed),
    )  # fmt: skip
    record(folder, config)
    last = folder / "checkpoints" / "last.ckpt"
    datamodule.prepare_data()
    objective = instantiate(config.objective, _convert_="all")
    L.seed_everything(config.seed, workers=True, verbose=False)
    device = find_device("cpu" if config.trainer.accelerator == "cpu" else None)
    model.to(device)
    if config.recalibration.batches and not last.exists():
        batches = config.recalibration.batches
        images = datamodule.training_images(batches)
        recalibrate(model, tracked(images, "recalibration", batches, unit="batch"))
    sizes = {name: done[name][1] for name in ("parameters", "multiply_adds")}
    loggers = [instantiate(logger) for logger in config.logger.values()]
    try:
        if config.recovery.steps and not train(config, model, datamodule, last, loggers, objective):
            return {"objective": [], "attributes": sizes, "given_up": True}
        model.to(device)  # Lightning leaves it on the CPU
        values = [held_out_loss(model, objective, datamodule.held_out_dataloader())]
        settings = {**done["rates"], **sizes, "checkpoint": config.checkpoint}
        measured = {"loss": values[0], **sizes}
        measured |= {f"rate_{group}": rate for group, rate in done["rates"].items()}
        found = {f"search/{name}": float(value) for name, value in measured.items()}
        for logger in loggers:
            logger.log_hyperparams(settings)
            if isinstance(logger, RunCSVLogger):
                logger.log_metrics(dict(found), config.recovery.steps)
        log_result(loggers, settings, found, config.recovery.steps)
        log_files(loggers, used=[Path(config.checkpoint)])
    finally:
        close(loggers)
    if config.second == "multiply_adds":
        values.append(float(sizes["multiply_adds"]))
    elif config.second == "latency":
        values.append(latency(model, config.height, config.width))
    attributes = {
        **sizes,
        **{name: done[name] for name in ("realised_rates", "widths")},
        "seconds": time.perf_counter() - start,
    }
    return {"objective": values, "attributes": attributes, "given_up": False}


def train(
    config: DictConfig,
    model: FaceDetector,
    datamodule: FaceDataModule,
    last: Path,
    loggers: list[Logger],
    objective: DetectionObjective,
) -> bool:
    """Recover ``model``; leaves its weights, averaged where that is asked for.

    Returns:
        Whether it was trained to the end, and not given up.
    """
    set_norm_momentum(model, config.norm_momentum)
    learner = instantiate(config.module, model=model.train(), _convert_="all")
    reports = [Reports(told, objective)] if (told := watcher()) else []
    callbacks = [
        keep_last(last),
        *reports,
        *([instantiate(config.ema.callback)] if config.ema.callback else []),
    ]
    recover(learner, datamodule, build_trainer(config.trainer, callbacks, loggers), last)
    return not any(report.hopeless for report in reports)


def latency(model: FaceDetector, height: int, width: int) -> float:
    """Milliseconds that the network takes for one image, the median of several."""
    pixels = torch.zeros(1, 3, height, width, device=model.mean.device)
    model.eval()

    def run() -> None:
        with torch.inference_mode():
            model(model.normalise(pixels))
            if pixels.is_cuda:
                torch.cuda.synchronize()

    (row,) = time_in_turn([({"kind": "network"}, run)], ROUNDS)
    return 1000 * row["median"]


main = command("sweep_pruning", trial)


if __name__ == "__main__":
    main()
