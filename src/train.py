"""Train a detector: ``python -m src.train [option=value ...]``; ``--help`` lists the options."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import hydra
import lightning as L
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from omegaconf import DictConfig

from src import checkpoint
from src.entry import one_sentence, record, results_table, run_folder, write_json
from src.models import FaceDetector, build_model
from src.training.callbacks import Pictures

log = logging.getLogger(__name__)


def train(config: DictConfig, folder: Path) -> float:
    """Train what ``config`` describes in ``folder``; returns the best mean average precision."""
    last = folder / "checkpoints" / "last.ckpt"
    resume = resume_from(config, last)
    L.seed_everything(config.seed, workers=True, verbose=False)
    record(folder, config, seed=config.seed)

    datamodule = instantiate(config.data, _convert_="all")
    model = initial_model(config)
    module = instantiate(config.module, model=model, _convert_="all")
    best = ModelCheckpoint(
        last.parent, filename="best", monitor="val/ap", mode="max", enable_version_counter=False
    )
    callbacks = [
        best,
        # Of its own, at the end of every epoch: a killed run goes on from here.
        ModelCheckpoint(
            last.parent, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
        ),
        LearningRateMonitor(logging_interval="step"),
        Pictures(str(folder / "pictures")),
    ]
    if config.ema.callback is not None:
        callbacks.append(instantiate(config.ema.callback))
    if sys.stderr.isatty():
        callbacks.append(TQDMProgressBar())
    loggers = [instantiate(logger) for logger in config.logger.values()]
    trainer: L.Trainer = instantiate(
        config.trainer, callbacks=callbacks, logger=loggers,
        enable_progress_bar=sys.stderr.isatty(), _convert_="all",
    )  # fmt: skip
    if config.compile:
        model.compile()

    try:
        trainer.fit(module, datamodule, ckpt_path=resume, weights_only=True)
        if trainer.is_global_zero and trainer.interrupted:
            raise KeyboardInterrupt
        if module.evaluated_step != trainer.global_step:  # max_steps ended between validations
            trainer.validate(module, datamodule, verbose=False)
            if best.best_model_score is None or module.result.metrics["ap"] > best.best_model_score:
                trainer.save_checkpoint(last.parent / "best.ckpt")
    finally:
        for logger in loggers:
            logger.finalize("finished")

    metrics = checkpoint.read(last.parent / "best.ckpt")["featherface"]["metrics"]
    if trainer.is_global_zero:
        write_json(
            folder / "metrics.json", {**metrics, "checkpoint": str(last.parent / "best.ckpt")}
        )
        log.info("best of this run:\n%s", results_table({config.run: metrics}))
        log.info("run folder: %s", folder)
    return float(metrics["ap"])


def initial_model(config: DictConfig) -> FaceDetector:
    """The network to train, with the weights that ``init`` names."""
    model = build_model(instantiate(config.model, _convert_="all"))
    if config.init.model is not None:
        source = checkpoint.load(config.init.model).model
        if source.config != model.config:
            raise ValueError(
                f"expected weights of the network {model.config} in init.model, got "
                f"{source.config}; set the model options to match"
            )
        model.load_state_dict(source.state_dict())
    if config.init.backbone is not None:
        checkpoint.load_backbone(config.init.backbone, model)
    return model.train()


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
    named = any(
        o.split("=")[0] in ("run", "hydra.run.dir") for o in HydraConfig.get().overrides.task
    )
    if not named:
        runs = sorted(
            last.parents[2].glob("*/checkpoints/last.ckpt"), key=lambda p: p.stat().st_mtime
        )
        newest = f"; the newest is run={runs[-1].parents[1].name}" if runs else ""
        raise ValueError(f"expected run=NAME beside resume=true, to say which run goes on{newest}")
    if not last.exists():
        log.info("no checkpoint in %s yet: starting from the beginning", last.parent)
        return None
    log.info("continuing from %s", last)
    return last


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
@one_sentence
def main(config: DictConfig) -> float:
    return train(config, run_folder())


if __name__ == "__main__":
    main()
