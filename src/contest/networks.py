"""Checkpoints side by side: what they are called, and the AP of each on the same images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import DictConfig

from src import checkpoint
from src.cli.targets import instantiate
from src.data.datamodule import FaceDataModule
from src.evaluation import WiderResult
from src.models import FaceDetector
from src.training.evaluator import score

log = logging.getLogger(__name__)


def names_of(paths: Sequence[str]) -> list[str]:
    """What the files are called in a table: by their run where its folder says more, each once."""
    names: list[str] = []
    for path in map(Path, paths):
        parent = path.absolute().parent
        name = path.stem
        if parent.name == "checkpoints":  # outputs/train/NAME/checkpoints/best.ckpt
            name = parent.parent.name
        elif name == "pruned":  # outputs/prune/NAME/pruned.ckpt
            name = parent.name
        same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({same + 1})" if same else name)
    return names


def load_networks(paths: Sequence[str]) -> dict[str, FaceDetector]:
    """Name in a table -> the network of each file.

    Raises:
        FileNotFoundError, ValueError: see :func:`src.checkpoint.load`.
    """
    return {name: checkpoint.load(path).model
            for name, path in zip(names_of(paths), paths, strict=True)}  # fmt: skip


def score_networks(
    config: DictConfig,
    models: Mapping[str, FaceDetector],
    datamodule: FaceDataModule,
    callbacks: Callable[[str], Sequence[L.Callback]] = lambda name: (),
) -> dict[str, WiderResult]:
    """The result of each network on the validation images, as ``src.evaluate`` measures it.

    Args:
        config: of a command: ``decoder``, ``views`` and ``trainer``.
        models: by name.
        datamodule: of the images.
        callbacks: of the trainer, for the network of a name.
    """
    results = {}
    for number, (name, model) in enumerate(models.items(), 1):
        log.info("AP of %s (%d of %d)", name, number, len(models))
        results[name] = score(
            model, datamodule, decoder=instantiate(config.decoder),
            views=instantiate(config.views, _convert_="all"), trainer=config.trainer,
            callbacks=callbacks(name),
        )  # fmt: skip
    return results


def data_facts(config: DictConfig, datamodule: FaceDataModule) -> dict[str, Any]:
    """On what networks were measured."""
    return {
        "root": config.data.root, "split": config.data.val_split,
        "long_side": config.data.val_long_side, "images": len(datamodule.names),
        "ground_truth": str(datamodule.truth_folder or "labels, difficulty by face height"),
    }  # fmt: skip
