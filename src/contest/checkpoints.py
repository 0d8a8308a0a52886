"""Compares checkpoints: one table, curves, and the pictures in which they differ most."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src import checkpoint
from src.cli.targets import instantiate
from src.contest.networks import data_facts, load_networks, score_networks
from src.contest.page import HEAD, network_rows, write_page
from src.contest.photographs import draw_photographs
from src.data.datamodule import FaceDataModule
from src.evaluation.differences import Difference, find_differences, judge_picture
from src.profiling.complexity import complexity
from src.report.tables import text_table
from src.runs.files import write_json
from src.runs.processes import check_one_device
from src.runs.provenance import revision
from src.runs.record import record
from src.training.detections import BestDetections
from src.training.evaluator import protocol

log = logging.getLogger(__name__)


def compare_checkpoints(config: DictConfig, files: Sequence[str], folder: Path) -> dict[str, Any]:
    """Evaluate networks on the validation images and compare what they find.

    Writes ``comparison.json`` and ``comparison.html`` into ``folder``.

    Args:
        config: of ``src.compare``.
        files: checkpoints, or names of those that come with the project.
        folder: of the run.

    Returns:
        The content of ``comparison.json``: ``networks``, each with ``name``, ``checkpoint``,
        ``parameters``, ``multiply_adds``, ``metrics`` (AP from 0 to 1), ``found`` (faces) and
        ``false`` (boxes without a face); all ``pictures``, those first in which they differ most;
        and how it was measured.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: fewer than two checkpoints, one twice, or one that cannot be read.
    """
    _check(files)
    instead = f"python -m src.compare {' '.join(files)} trainer.devices=1 works"
    check_one_device(config.trainer, "to compare checkpoints", instead)
    models = load_networks(files)
    record(folder, config)
    costs = {name: complexity(each, config.height, config.width) for name, each in models.items()}
    datamodule: FaceDataModule = instantiate(config.data, _convert_="all")
    best = {name: BestDetections(None, lowest=config.threshold) for name in models}
    results = score_networks(config, models, datamodule, lambda name: [best[name]])
    differences = find_differences(
        [each.rows for each in best.values()], datamodule.truth(), config.threshold
    )
    content = {
        "networks": [
            {
                "name": name, "checkpoint": file, **costs[name]._asdict(),
                "metrics": results[name].metrics,
                "found": sum(each.found[place] for each in differences),
                "false": sum(each.false[place] for each in differences),
            }
            for place, (name, file) in enumerate(zip(models, files, strict=True))
        ],
        "faces": sum(each.faces for each in differences),
        "threshold": config.threshold, "protocol": protocol(config),
        "data": data_facts(config, datamodule), "height": config.height, "width": config.width,
        "revision": revision(), "pictures": [each.content() for each in differences],
    }  # fmt: skip
    write_json(folder / "comparison.json", content)
    shown = [each for each in differences[: config.num_pictures] if each.size]
    photographs = _draw(shown, best, datamodule, config.threshold)
    write_page(folder / "comparison.html", content, results, photographs)
    table = text_table(HEAD, network_rows(content["networks"]))
    log.info("%d images, threshold %g:\n%s", len(differences), config.threshold, table)
    log.info("page: %s", folder / "comparison.html")
    return content


def _check(files: Sequence[str]) -> None:
    """Whether there are several files, and none twice."""
    for file in files:
        if Path(file).is_dir():
            raise ValueError(
                f"expected files of checkpoints, got the folder {file}; name the file, such as "
                f"{file}/checkpoints/best.ckpt, or compare runs alone: runs=[{file},...]"
            )
    if len(files) < 2:
        raise ValueError(
            f"expected at least two checkpoints, got {files[0]} alone; name another one, or "
            f"measure it with python -m src.evaluate checkpoint={files[0]}"
        )
    places: dict[Path, str] = {}
    for file in files:
        place = checkpoint.find(file).resolve()
        if place in places:
            same = file if places[place] == file else f"{places[place]} and {file}, which are one"
            raise ValueError(
                f"expected each checkpoint once, got the same file twice: {same}; name another one"
            )
        places[place] = file


def _draw(
    shown: Sequence[Difference],
    found: Mapping[str, BestDetections],
    datamodule: FaceDataModule,
    threshold: float,
) -> list[tuple[Difference, list[bytes]]]:
    files = {each.name: each.path for each in datamodule.val_annotations}
    truth = datamodule.truth()
    drawn = []
    for each in shown:
        judged = [judge_picture(best.rows[each.name], truth[each.name], threshold)
                  for best in found.values()]  # fmt: skip
        drawn.append((each, draw_photographs(files[each.name], truth[each.name], judged)))
    return drawn
