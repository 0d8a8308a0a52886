"""Convert a network into another of its scheme: ``python -m src.convert_network checkpoint=...``.

Groups and options are listed by ``--help``.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import DictConfig

from src import checkpoint
from src.cli import command
from src.cli.targets import instantiate
from src.data.datamodule import FaceDataModule
from src.profiling.devices import find_device
from src.pruning.conversion import convert
from src.report.progress import waiting
from src.report.tables import results_table
from src.runs.files import write_json
from src.runs.processes import check_one_device
from src.runs.record import record
from src.training.evaluator import save_and_score

log = logging.getLogger(__name__)


def convert_network(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Convert what ``config`` names; writes ``converted.ckpt`` and ``conversion.json``.

    Returns:
        The content of ``conversion.json``: ``parameters`` as [before, after], ``unexplained``
        (layer that was refit -> share of its outputs' variance that is lost), and with
        ``measure_ap`` the ``metrics``.
    """
    instead = (
        f"python -m src.convert_network checkpoint={config.checkpoint} trainer.devices=1 works"
    )
    check_one_device(config.trainer, "to convert a network", instead)
    source = checkpoint.load(config.checkpoint).model.eval()
    record(folder, config)
    datamodule: FaceDataModule = instantiate(config.data, _convert_="all")
    L.seed_everything(config.seed, workers=True, verbose=False)
    crops = datamodule.training_crops(config.num_images)
    source.to(find_device("cpu" if config.trainer.accelerator == "cpu" else None))
    unexplained: dict[str, float] = {}

    def report(name: str, share: float) -> None:
        unexplained[name] = share
        log.info("refit %s: %.1f%% of its outputs' variance is lost", name, 100 * share)

    with waiting("conversion"):
        converted = convert(
            source, instantiate(config.model, _convert_="all"), crops, damping=config.damping,
            report=report,
        ).cpu()  # fmt: skip
    file = folder / "converted.ckpt"
    facts = {"from": config.checkpoint}
    metrics = save_and_score(file, converted, datamodule, config, conversion=facts)
    if metrics:
        log.info("before any training:\n%s", results_table({file.name: metrics}))
    sizes = [sum(p.numel() for p in model.parameters()) for model in (source, converted)]
    results = {"parameters": sizes, "unexplained": unexplained, "metrics": metrics}
    write_json(folder / "conversion.json", results)
    log.info("parameters %s -> %s; converted network: %s", *(f"{n:,}" for n in sizes), file)
    return results


main = command(
    "convert_network",
    convert_network,
    objective=lambda done: done["metrics"].get("ap", float("nan")),
)


if __name__ == "__main__":
    main()
