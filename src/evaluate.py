"""Score a detector, or prediction files of any tool, by the protocols of WIDER FACE and COCO.

``python -m src.evaluate checkpoint=... data=widerface data.root=...`` or
``python -m src.evaluate predictions=<folder> data=widerface data.root=...``; ``--help`` lists the
options.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from omegaconf import DictConfig

from src import checkpoint
from src.cli import command
from src.cli.targets import instantiate
from src.data.datamodule import FaceDataModule
from src.evaluation import WiderResult, draw_pr_curves, read_predictions, wider_ap
from src.evaluation.coco_ap import coco_ap
from src.report.tables import results_table
from src.runs.files import write_json
from src.runs.record import record
from src.training.callbacks import Pictures, PredictionFiles
from src.training.detections import BestDetections
from src.training.evaluator import protocol, score
from src.training.mistakes import MistakeSheets

log = logging.getLogger(__name__)


def evaluate(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Evaluate what ``config`` names; writes ``metrics.json`` and pictures into ``folder``.

    Returns:
        The content of ``metrics.json``: ``ap_easy``, ``ap_medium``, ``ap_hard``, ``ap``,
        ``ap_size_*`` (0 to 1, NaN where no face counts; null in the file), ``coco`` (see
        :func:`src.evaluation.coco_ap.coco_ap`), ``images``, ``faces`` per setting, what was scored
        on which ``data``, and of a network the ``protocol``.
        ``run.json`` beside it has command and revision.
    """
    if (config.checkpoint is None) == (config.predictions is None):
        raise ValueError(
            "expected either checkpoint=<file> or predictions=<folder>, got "
            f"checkpoint={config.checkpoint} and predictions={config.predictions}"
        )
    record(folder, config)
    datamodule: FaceDataModule = instantiate(config.data, _convert_="all")
    scored: dict[str, Any]
    if config.predictions is not None:
        if config.save_predictions:
            log.warning("save_predictions has no effect: predictions=<folder> are files already")
        scored = {"predictions": config.predictions}
        result, found = _score_files(config, datamodule)
        draw_pr_curves(result, folder / "pr_curves.png")
    else:
        result, found = _score_network(config, datamodule, folder)
        scored = {"checkpoint": config.checkpoint, "protocol": protocol(config)}
    most = config.coco_max_detections
    coco = coco_ap(found, datamodule.faces_to_find(), max_detections=most)
    metrics = {
        **result.metrics, "coco": {**coco, "max_detections": most},
        "images": result.num_images, "faces": result.num_faces, **scored,
        "data": {
            "root": config.data.root,
            "split": config.data.val_split,
            "ground_truth": str(datamodule.truth_folder or "labels, difficulty by face height"),
        },
    }  # fmt: skip
    write_json(folder / "metrics.json", metrics)
    name = Path(next(iter(scored.values()))).name
    log.info("%d images:\n%s", result.num_images, results_table({name: result.metrics}))
    shown = "  ".join(f"{name} {100 * value:.2f}" for name, value in coco.items())
    log.info("by the protocol of COCO, best %d detections of an image: %s", most, shown)
    log.info("run folder: %s", folder)
    return metrics


Found = Mapping[str, np.ndarray]
"""Name of an image -> its detections [K, 5] (x, y, w, h, score)."""


def _score_files(config: DictConfig, datamodule: FaceDataModule) -> tuple[WiderResult, Found]:
    datamodule.prepare_data()
    datamodule.setup("test")
    truth = datamodule.truth()
    found = read_predictions(Path(config.predictions), list(truth))
    return wider_ap(found, truth), found


def _score_network(
    config: DictConfig, datamodule: FaceDataModule, folder: Path
) -> tuple[WiderResult, Found]:
    best = BestDetections(config.coco_max_detections)
    callbacks: list[L.Callback] = [best]
    if config.num_pictures:
        callbacks.append(Pictures(folder, config.num_pictures))
    if config.num_mistakes:
        callbacks.append(MistakeSheets(folder, config.num_mistakes))
    if config.save_predictions:
        callbacks.append(PredictionFiles(folder / "predictions"))
    result = score(
        checkpoint.load(config.checkpoint).model,
        datamodule,
        decoder=instantiate(config.decoder),
        views=instantiate(config.views, _convert_="all"),
        trainer=config.trainer,
        callbacks=callbacks,
    )
    return result, best.rows


main = command("evaluate", evaluate, objective=lambda metrics: metrics["ap"])


if __name__ == "__main__":
    main()
