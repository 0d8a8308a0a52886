"""Train a detector: ``python -m src.train [option=value ...]``; ``--help`` lists the options."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from omegaconf import DictConfig, OmegaConf

from src import checkpoint
from src.cli import command
from src.models import FaceDetector, build_model, set_norm_momentum
from src.pruning import PruningSpec, prune_at_once
from src.pruning.picture import draw_widths
from src.report.tables import results_table
from src.runs.files import write_json
from src.runs.record import record
from src.training import DetectorModule, PruningModule
from src.training.callbacks import Pictures
from src.training.logging import RunCSVLogger, close

log = logging.getLogger(__name__)


def train(config: DictConfig, folder: Path) -> float:
    """Train what ``config`` describes in ``folder``; returns the best mean average precision.

    Writes ``checkpoints/{best,last}.ckpt``, ``metrics.json``, ``metrics.csv``, ``config.yaml``,
    ``composed.yaml``, ``run.json`` and ``pictures/``; of a network that is pruned, at the start or
    along the way, ``pruning.json``, too.
    """
    check_processes(config)
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
        smaller, pruned = prune_at_once(model.eval(), pruning)
        model = smaller.train()
        log.info("pruned at the start: %s", shrinkage(pruned))
    module: DetectorModule = instantiate(config.module, model=model, _convert_="all")
    if resumed is not None:  # what the folder says of the run stays, if this is not its next part
        module.check_resumable(resumed)
    record(folder, composed, seed=config.seed, **module.facts(), **pruning_facts(pruned))
    best = ModelCheckpoint(
        checkpoints,
        filename="best",
        monitor=module.monitored,
        mode="max",
        enable_version_counter=False,
    )
    trainer = make_trainer(config, folder, best)
    if config.compile:
        model.compile()

    try:
        for logger in trainer.loggers:
            logger.log_hyperparams(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
            if resumed is not None and isinstance(logger, RunCSVLogger):
                logger.resume_at(resumed["global_step"])
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
    except SystemExit:  # what Lightning makes of Ctrl-C and SIGTERM
        sys.exit(f"stopped at step {trainer.global_step}; {how_to_resume(config)} continues")
    finally:
        close(trainer.loggers)

    metrics = checkpoint.read(checkpoints / "best.ckpt")["featherface"]["metrics"]
    if trainer.is_global_zero:
        scored = {"checkpoint": str(checkpoints / "best.ckpt")}
        write_json(folder / "metrics.json", {**metrics, **scored})
        log.info("best of this run:\n%s", results_table({folder.name: metrics}))
        if isinstance(module, PruningModule):
            pruned = module.pruner.results()
        if pruned is not None:
            write_json(folder / "pruning.json", pruned)
            draw_widths(pruned["widths"], folder / "pictures" / "widths.png")
            log.info("pruned: %s", shrinkage(pruned))
        log.info("run folder: %s", folder)
    return float(metrics["ap"])


def initial_model(config: DictConfig) -> FaceDetector:
    """The network to train, with the weights that ``init`` names."""
    model = build_model(instantiate(config.model, _convert_="all"))
    if config.init.model is not None:
        source = checkpoint.load(config.init.model).model
        if source.config != model.config:
            raise ValueError(
                "expected weights of the configured network in init.model, got one with "
                f"{checkpoint.differences(model.config, source.config)}; set the model options to "
                "match, or model=checkpoint to take its network"
            )
        model.load_state_dict(source.state_dict())
    if config.init.backbone is not None:
        checkpoint.load_backbone(config.init.backbone, model)
    set_norm_momentum(model, config.norm_momentum)
    return model.train()


def make_trainer(config: DictConfig, folder: Path, best: ModelCheckpoint) -> L.Trainer:
    """The Lightning trainer with its callbacks and loggers."""
    interactive = sys.stderr.isatty()  # a bar in a log file is noise
    callbacks = [
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
        *([TQDMProgressBar()] if interactive else []),
        *([instantiate(config.ema.callback)] if config.ema.callback else []),
    ]
    loggers = [instantiate(logger) for logger in config.logger.values()]
    return instantiate(
        config.trainer, callbacks=callbacks, logger=loggers, enable_progress_bar=interactive,
        _convert_="all",
    )  # fmt: skip


def name_job(config: DictConfig) -> None:
    """In a multirun, name the run after its settings and group it with the others."""
    hydra_ = HydraConfig.get()
    if hydra_.mode == RunMode.MULTIRUN:
        config.run = f"{hydra_.job.num} {hydra_.job.override_dirname}".strip()
        config.group = config.group or Path(hydra_.sweep.dir).name


def warn_of_idle(config: DictConfig) -> None:
    """Say which given settings have no effect."""
    if config.kd.teacher is not None and "_target_" not in config.kd:
        log.warning("kd.teacher has no effect with kd=none; kd=weighted learns from it")


def pruning_at_start(config: DictConfig) -> PruningSpec | None:
    """What goes before the training begins; None: nothing, or the module prunes along.

    Raises:
        ValueError: there are no weights yet by which filters could be ranked.
    """
    if config.pruning is None or "pruning" in config.module:
        return None
    if config.init.model is None:
        raise ValueError(
            "expected trained weights in init.model to prune at the start, got none; add "
            "init.model=FILE, or pruning=soft to prune along the training"
        )
    spec: PruningSpec = instantiate(config.pruning, _convert_="all")
    return spec


def shrinkage(pruned: Mapping[str, Any]) -> str:
    """Parameters after pruning and before."""
    before, after = pruned["parameters"]
    return f"{after:,} parameters, of {before:,}"


def pruning_facts(pruned: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the record of a run says of its pruning at the start."""
    if pruned is None:
        return {}
    return {"pruning": {"rates": pruned["rates"], "parameters_before": pruned["parameters"][0]}}


def check_processes(config: DictConfig) -> None:
    """Refuse several processes per job inside a multirun: each would replay the whole multirun."""
    devices = config.trainer.devices
    if HydraConfig.get().mode == RunMode.MULTIRUN and devices != 1:
        raise ValueError(
            f"expected trainer.devices=1 inside a multirun, got {devices}: every process of a job "
            "would start the multirun again; run each setting as a command of its own"
        )


def check_counts(config: DictConfig) -> None:
    """Refuse to train or validate on nothing, and a seed or a number of pictures below 0."""
    if config.seed < 0:
        raise ValueError(f"expected a seed of at least 0, got {config.seed}; set seed=")
    if config.num_pictures < 0:
        raise ValueError(
            f"expected num_pictures of at least 0, got {config.num_pictures}; 0 draws none"
        )
    trainer = config.trainer
    if trainer.max_epochs < 1 and not (trainer.max_epochs == -1 and trainer.max_steps > 0):
        raise ValueError(
            f"expected trainer.max_epochs of at least 1, or -1 with trainer.max_steps, got "
            f"{trainer.max_epochs} and {trainer.max_steps}; set recipe.epochs"
        )
    for name in ("limit_train_batches", "limit_val_batches", "accumulate_grad_batches"):
        if trainer[name] is not None and trainer[name] <= 0:
            raise ValueError(f"expected trainer.{name} above 0, got {trainer[name]}; leave it out")
    if trainer.max_steps == 0:
        raise ValueError("expected trainer.max_steps of at least 1, or -1 for no limit, got 0")


def resume_from(config: DictConfig, last: Path) -> Path | None:
    """The checkpoint to go on from; None to start.

    Raises:
        ValueError: the folder holds a run that ``resume`` does not ask to continue, or
            ``resume`` is asked for without saying which run.
    """
    if not config.resume:
        if last.exists():
            raise ValueError(
                f"expected an empty run folder, got {last.parent.parent} with a checkpoint; add "
                "resume=true to continue that run, or choose another name with run=NAME"
            )
        return None
    given = HydraConfig.get().overrides
    naming = ("run", "hydra.run.dir", "hydra.sweep.dir")
    if not any(o.split("=")[0] in naming for o in [*given.task, *given.hydra]):
        runs = list(last.parents[2].glob("*/checkpoints/last.ckpt"))
        runs.sort(key=lambda file: file.stat().st_mtime)
        newest = f"; the newest is run={runs[-1].parents[1].name}" if runs else ""
        raise ValueError(f"expected run=NAME beside resume=true, to say which run goes on{newest}")
    if not last.exists():
        log.info("no checkpoint in %s yet: starting from the beginning", last.parent)
        return None
    log.info("continuing from %s", last)
    return last


def how_to_resume(config: DictConfig) -> str:
    """What to add to the command of a stopped run."""
    job = HydraConfig.get()
    if job.mode == RunMode.MULTIRUN:  # finished jobs have nothing left to do
        return f"resume=true hydra.sweep.dir={job.sweep.dir}"
    return f"resume=true run={config.run}"


def read_training(last: Path) -> dict[str, Any]:
    """The checkpoint of a run, from which it can go on.

    Raises:
        ValueError: it is damaged, or holds weights alone.
    """
    content = checkpoint.read(last)
    if "loops" not in content:
        raise ValueError(
            f"expected a checkpoint of a training run to resume from in {last}, got weights alone; "
            "start from them with init.model=FILE and another run=NAME"
        )
    return content


main = command("train", train)


if __name__ == "__main__":
    main()
