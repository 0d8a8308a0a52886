"""Train a detector: ``python -m src.train [option=value ...]``; ``--help`` lists the options."""

from __future__ import annotations

if __name__ == "__main__":  # before imports that take seconds
    from src.runs.allocator import keep_memory

    keep_memory("src.train")

import copy
import logging
import math
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from omegaconf import DictConfig, OmegaConf

from src import checkpoint
from src.cli import command
from src.cli.options import yaml_file
from src.cli.targets import instantiate
from src.data.fingerprint import data_fingerprint
from src.images.files import read_image
from src.pruning import prune_at_once
from src.pruning.picture import draw_widths
from src.report.tables import results_table
from src.runs.files import write_json
from src.runs.locks import only_one_in
from src.runs.nested import flatten
from src.runs.processes import check_one_device, rank
from src.runs.record import record
from src.training import DetectorModule, PruningModule
from src.training.callbacks import Pictures
from src.training.continuity import continuing
from src.training.integrity import KEY, restoring
from src.training.logging import RunCSVLogger, close, log_files, log_pictures, log_result
from src.training.phases import Phase, collect, phases_of, steps_done
from src.training.resuming import how_to_resume, read_training, resume_from
from src.training.start import check_counts, initial_model, lay_out, pruning_at_start
from src.training.trainer import build_trainer

log = logging.getLogger(__name__)


def train(config: DictConfig, folder: Path) -> float:
    """Train what ``config`` describes in ``folder``, in one phase or in several.

    Returns:
        The best mean average precision, of the last phase.
    """
    check_counts(config)
    phases = phases_of(config, folder)
    with nullcontext() if rank() else only_one_in(folder, "training"):
        return train_phases(config, folder, phases) if phases else train_phase(config, folder)


def train_phases(config: DictConfig, folder: Path, phases: Sequence[Phase]) -> float:
    """One training after the other, each from the best weights of the one before."""
    facts: dict[str, Any] = {"seed": config.seed}
    if any(phase.folder.joinpath("checkpoints").exists() for phase in phases):
        resume_from(config, phases[0].folder / "checkpoints" / "last.ckpt")
        if rank() == 0:
            step, anyway = sum(map(steps_done, phases)), config.resume_anyway
            facts |= continuing(folder, config, "", step=step, anyway=anyway)
    record(folder, config, **facts)
    for number, phase in enumerate(phases, start=1):
        if phase.ap is None:
            log.info("phase %d of %d: %s", number, len(phases), phase.folder)
            train_phase(phase.config, phase.folder)
    if rank() == 0:
        collect(phases, folder)
        log.info("run folder: %s", folder)
    return phases[-1].ap or 0.0


def train_phase(config: DictConfig, folder: Path) -> float:
    """One training; returns its best mean average precision.

    Writes ``checkpoints/{best,last}.ckpt``, ``metrics.json``, ``metrics.csv``, ``config.yaml``,
    ``composed.yaml``, ``run.json`` and ``pictures/``; of a network that is pruned, at the start or
    along the way, ``pruning.json``, too.
    """
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        instead = "run each setting as a command of its own, without -m"
        check_one_device(config.trainer, "inside a multirun", instead)
    check_counts(config)
    name_job(config)
    warn_of_idle(config)
    pruning = pruning_at_start(config)
    composed = copy.deepcopy(config)  # instantiate resolves in place what others refer to
    checkpoints = folder / "checkpoints"
    last = checkpoints / "last.ckpt"
    resume = resume_from(config, last)
    resumed = None if resume is None else read_training(resume)
    L.seed_everything(config.seed, workers=True, verbose=False)

    datamodule = instantiate(config.data, _convert_="all")
    model = initial_model(config)
    pruned: dict[str, Any] | None = None
    if pruning is not None:
        crops = datamodule.training_crops(pruning.images_needed)
        smaller, pruned = prune_at_once(model.eval(), pruning, batches=crops)
        model = smaller.train()
        log.info("pruned at the start: %s", shrinkage(pruned))
    module: DetectorModule = instantiate(config.module, model=model, _convert_="all")
    facts: dict[str, Any] = {"seed": config.seed}
    unsealed = resumed is not None and KEY not in resumed  # of a version without check sums
    if resumed is not None:  # what the folder says of the run stays, if this is not its next part
        with restoring(resume, unsure=lambda: unsealed):
            module.check_resumable(resumed, resume)
    if rank() == 0:
        datamodule.prepare_data()
        facts["data"] = data_fingerprint(datamodule.root)
    if resumed is not None and rank() == 0:
        step, anyway = resumed["global_step"], config.resume_anyway
        facts |= continuing(folder, composed, facts["data"], step=step, anyway=anyway)
    known = module.facts()
    record(folder, composed, **facts, **known, **pruning_facts(pruned))
    best = ModelCheckpoint(
        checkpoints,
        filename="best",
        monitor=module.monitored,
        mode="max",
        enable_version_counter=False,
    )
    loggers = [instantiate(logger) for logger in config.logger.values()]
    trainer = build_trainer(config.trainer, make_callbacks(config, folder, best), loggers)
    lay_out(model, config.channels_last, trainer.strategy.root_device)
    if config.compile:
        model.compile()

    try:
        for logger in trainer.loggers:
            logger.log_hyperparams(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
            if resumed is not None and isinstance(logger, RunCSVLogger):
                logger.resume_at(resumed["global_step"])
        with restoring(resume, unsure=lambda: unsealed and not module.has_trained):
            trainer.fit(module, datamodule, ckpt_path=resume, weights_only=True)
        module.check_finished(how_to_resume(config))
        if module.evaluated_step != trainer.global_step:  # the end lay between two validations
            # What is measured is what is on disk: the averaged weights, where there are such, also
            # of a run that was killed after its last step.
            module.load_state_dict(checkpoint.read(last)["state_dict"])
            for logger in trainer.loggers:
                if isinstance(logger, RunCSVLogger):  # a finished run that was resumed has it
                    logger.forget_validation(trainer.global_step - 1)
            trainer.validate(module, datamodule, verbose=False)
            assert module.result is not None  # validate has run
            if best.best_model_score is None or best.best_model_score < module.result.metrics["ap"]:
                trainer.save_checkpoint(checkpoints / "best.ckpt")
        metrics = checkpoint.read(checkpoints / "best.ckpt")["featherface"]["metrics"]
        if isinstance(module, PruningModule):
            pruned = module.pruner.results()
        if pruned is not None and trainer.is_global_zero:
            picture = folder / "pictures" / "widths.png"
            draw_widths(pruned["widths"], picture)
            log_pictures(trainer.loggers, {"widths": read_image(picture)}, trainer.global_step)
        result = final(metrics)
        log_result(trainer.loggers, chosen(composed), result, trainer.global_step)
        used, made = inputs(config, known), [checkpoints / "best.ckpt"]
        log_files(trainer.loggers, used=used, made=made, facts=result)
    except SystemExit:  # what Lightning makes of Ctrl-C and SIGTERM
        sys.exit(f"stopped at step {trainer.global_step}; {how_to_resume(config)} continues")
    finally:
        close(trainer.loggers)

    if trainer.is_global_zero:
        scored = {"checkpoint": str(checkpoints / "best.ckpt")}
        write_json(folder / "metrics.json", {**metrics, **scored})
        log.info("best of this run:\n%s", results_table({folder.name: metrics}))
        if pruned is not None:
            write_json(folder / "pruning.json", pruned)
            log.info("pruned: %s", shrinkage(pruned))
        log.info("run folder: %s", folder)
    return float(metrics["ap"])


def make_callbacks(config: DictConfig, folder: Path, best: ModelCheckpoint) -> list[L.Callback]:
    """What accompanies a training."""
    return [
        best,
        # Of its own, at the end of every epoch: a killed run goes on from here.
        ModelCheckpoint(
            best.dirpath,
            filename="last",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        ),
        *([LearningRateMonitor(logging_interval="step")] if config.logger else []),
        *([Pictures(folder / "pictures", config.num_pictures)] if config.num_pictures else []),
        *([instantiate(config.ema.callback)] if config.ema.callback else []),
    ]


def chosen(config: DictConfig) -> dict[str, Any]:
    """Settings by their dotted names, without those that follow others."""
    written = flatten(OmegaConf.to_container(config))
    return {name: value for name, value in written.items() if not str(value).startswith("${")}


def final(metrics: Mapping[str, float]) -> dict[str, float]:
    """The AP that a run ends with, as dashboards know it; NaN, where no face counts, left out."""
    return {f"final/{name}": value for name, value in metrics.items() if math.isfinite(value)}


def inputs(config: DictConfig, facts: Mapping[str, Any]) -> list[Path]:
    """The files that a training begins with: weights, its teacher, options such as a found plan."""
    weights = (config.init.model, config.init.backbone, facts.get("teacher", {}).get("path"))
    options = " ".join(map(str, HydraConfig.get().runtime.choices.values()))
    plans = [yaml_file(word) for word in re.findall(r"[^\s\[\],']*/[^\s\[\],']*", options)]
    return [*(Path(file) for file in weights if file is not None), *plans]


def name_job(config: DictConfig) -> None:
    """In a multirun, name the run after its settings and group it with the others."""
    hydra_ = HydraConfig.get()
    if hydra_.mode == RunMode.MULTIRUN:
        config.run = f"{hydra_.job.num} {hydra_.job.override_dirname}".strip()
        config.group = config.group or Path(hydra_.sweep.dir).name


def warn_of_idle(config: DictConfig) -> None:
    """Say which given settings have no effect."""
    idle = "_target_" not in config.kd and config.data.get("improvement") is None
    if idle and config.kd.teacher is not None:
        log.warning("kd.teacher has no effect with kd=none; kd=weighted learns from it")


def shrinkage(pruned: Mapping[str, Any]) -> str:
    """Parameters after pruning and before."""
    before, after = pruned["parameters"]
    return f"{after:,} parameters, of {before:,}"


def pruning_facts(pruned: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the record of a run says of its pruning at the start."""
    if pruned is None:
        return {}
    return {"pruning": {"rates": pruned["rates"], "parameters_before": pruned["parameters"][0]}}


main = command("train", train)


if __name__ == "__main__":
    main()
