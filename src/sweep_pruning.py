"""Search the pruning rates: ``python -m src.sweep_pruning checkpoint=...``; ``--help`` lists all.

Hydra's sweeper proposes rates; each job is a trial: it prunes the network, trains what is left for
a fixed number of steps and measures the loss on training images set aside.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import FloatDistribution

from src import checkpoint
from src.command import command
from src.data.datamodule import FaceDataModule
from src.detection.objective import DetectionObjective
from src.detector import find_device
from src.entry import one_sentence, record, run_folder
from src.models import FaceDetector, set_norm_momentum, wiring_of
from src.pruning import BudgetSurface, Cost, PruningSpec, prune_at_once, recalibrate
from src.search.job import watcher
from src.search.space import Space
from src.timing import time_in_turn
from src.training.logging import close
from src.training.recovery import Reports, held_out_loss, keep_last, recover

log = logging.getLogger(__name__)

RATES = "pruning.rates."
SECOND = ("multiply_adds", "latency")
ROUNDS = 9
"""Of the latency's measurement; the median counts."""


def trial(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Prune ``config.checkpoint`` by the rates of ``config``, recover, and measure.

    Everything random follows from ``config.seed``, so trials differ in their rates alone. A folder
    with the checkpoint of a killed trial goes on from it.

    Returns:
        ``objective`` (the loss on the images set aside, and the second objective where there is
        one), ``attributes`` for the study, and ``pruned``, whether the trial was given up.
    """
    start = time.perf_counter()
    check(config)
    spec: PruningSpec = instantiate(config.pruning, _convert_="all")
    dense = checkpoint.load(config.checkpoint).model
    model, done = prune_at_once(dense, spec, height=config.height, width=config.width)
    record(folder, config)
    last = folder / "checkpoints" / "last.ckpt"
    datamodule: FaceDataModule = instantiate(config.data, _convert_="all")
    datamodule.prepare_data()
    objective = instantiate(config.objective, _convert_="all")
    L.seed_everything(config.seed, workers=True, verbose=False)
    device = find_device("cpu" if config.trainer.accelerator == "cpu" else None)
    model.to(device)
    if config.recalibration.batches and not last.exists():
        recalibrate(model, datamodule.training_images(config.recalibration.batches))
    sizes = {name: done[name][1] for name in ("parameters", "multiply_adds")}
    loggers = [instantiate(logger) for logger in config.logger.values()]
    try:
        if config.recovery.steps and not train(config, model, datamodule, last, loggers, objective):
            return {"objective": [], "attributes": sizes, "pruned": True}
        model.to(device)  # Lightning leaves it on the CPU
        values = [held_out_loss(model, objective, datamodule.held_out_dataloader())]
        for logger in loggers:
            logger.log_hyperparams({**done["rates"], **sizes, "checkpoint": config.checkpoint})
            logger.log_metrics({"search/loss": values[0]}, step=config.recovery.steps)
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
    return {"objective": values, "attributes": attributes, "pruned": False}


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
    interactive = sys.stderr.isatty()
    callbacks = [
        keep_last(last),
        *reports,
        *([TQDMProgressBar(leave=False)] if interactive else []),
        *([instantiate(config.ema.callback)] if config.ema.callback else []),
    ]
    trainer: L.Trainer = instantiate(
        config.trainer, callbacks=callbacks, logger=loggers, enable_progress_bar=interactive,
        _convert_="all",
    )  # fmt: skip
    recover(learner, datamodule, trainer, last)
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


def check(config: DictConfig) -> None:
    """Refuse settings of a trial that cannot work.

    Raises:
        ValueError: naming the setting.
    """
    if config.second not in (None, *SECOND):
        raise ValueError(f"expected second of {', '.join(SECOND)} or null, got {config.second!r}")
    least = {"recovery.steps": 0, "recovery.save_every": 1, "recalibration.batches": 0}
    for name, value in {**least, "data.num_held_out": 1}.items():
        group, _, key = name.partition(".")
        if config[group][key] < value:
            raise ValueError(f"expected {name} of at least {value}, got {config[group][key]}")
    if config.pruning is None or "pruning" in config.module:
        raise ValueError(
            "expected pruning=one_shot of a search, or a file with what it sets; pruning=soft "
            "prunes along a training"
        )


class FeasiblePlans:
    """Rates whose plans keep the budget of parameters, for :class:`src.search.SearchSampler`.

    What is searched beside rates is left as proposed.

    Args:
        surface: of the network.
    """

    def __init__(self, surface: BudgetSurface) -> None:
        self.surface = surface

    @property
    def solved(self) -> str:
        return RATES + self.surface.solved

    def probe(self) -> dict[str, Any]:
        return {RATES + name: rate for name, rate in self.surface.uniform().items()}

    def project(self, params: Mapping[str, Any]) -> dict[str, Any]:
        moved = self.surface.project(_rates(params))
        return {**params, **{RATES + name: rate for name, rate in moved.items()}}

    def key(self, params: Mapping[str, Any]) -> Hashable:
        others = [value for name, value in params.items() if not name.startswith(RATES)]
        return (*self.surface.kept(_rates(params)), *others)

    def facts(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"parameters": self.surface.parameters(_rates(params))}


def feasible_plans(config: DictConfig, space: Space) -> tuple[Space, FeasiblePlans]:
    """The plans that a search may try, and its space without groups that the network lacks.

    Raises:
        ValueError: what a trial or the budget refuses; so a search ends before its first trial.
    """
    check(config)
    direction = OmegaConf.select(config, "hydra.sweeper.direction", default="minimize")
    if (not isinstance(direction, str) and len(direction) == 2) != (config.second is not None):
        raise ValueError(
            "expected second=NAME together with hydra.sweeper.direction=[minimize,minimize], got "
            f"second={config.second} and {direction}"
        )
    spec: PruningSpec = instantiate(config.pruning, _convert_="all")
    model = checkpoint.load(config.checkpoint).model
    wiring = wiring_of(model)
    groups = {variable.group for variable in wiring.variables}
    absent = [
        n for n in space.distributions if n.startswith(RATES) and n[len(RATES) :] not in groups
    ]
    distributions = {n: d for n, d in space.distributions.items() if n not in absent}
    cost = Cost(model, wiring, height=config.height, width=config.width)
    bounds = {}
    for name, distribution in distributions.items():
        if not name.startswith(RATES):
            continue
        if not isinstance(distribution, FloatDistribution) or distribution.step is not None:
            raise ValueError(
                f"expected {name} to be searched as interval(LOW,HIGH), any rate between, got "
                f"{distribution}; or give it one rate"
            )
        bounds[name.removeprefix(RATES)] = distribution.low, distribution.high
    for group, (low, high) in bounds.items():
        least, most = spec.bounds[group]
        if low < least or high > most:
            raise ValueError(
                f"expected {RATES}{group} to be searched within pruning.bounds.{group}, "
                f"[{least}, {most}], got {low} to {high}; set pruning.bounds.{group}=[{low},{high}]"
            )
    surface = BudgetSurface(spec, wiring, cost, bounds)
    fixed = (*space.fixed, *(f"{name}=null" for name in absent))
    return Space(distributions, fixed), FeasiblePlans(surface)


def _rates(params: Mapping[str, Any]) -> dict[str, float]:
    return {n.removeprefix(RATES): rate for n, rate in params.items() if n.startswith(RATES)}


@command("sweep_pruning")
@one_sentence
def main(config: DictConfig) -> dict[str, Any]:
    return trial(config, run_folder())


if __name__ == "__main__":
    main()
