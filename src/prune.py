"""Prune a network at once: ``python -m src.prune checkpoint=...``; ``--help`` lists the options."""

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
from src.profiling.complexity import complexity
from src.profiling.devices import find_device
from src.pruning import PruningSpec, prune_at_once, recalibrate
from src.pruning.picture import draw_widths
from src.report.progress import tracked
from src.report.tables import results_table
from src.runs.files import write_json
from src.runs.processes import check_one_device
from src.runs.record import record
from src.training.evaluator import save_and_score

log = logging.getLogger(__name__)


def prune(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Prune what ``config`` names; writes ``pruned.ckpt``, ``pruning.json`` and ``widths.png``.

    Returns:
        The content of ``pruning.json``: ``rates`` and ``realised_rates`` per group, ``widths``,
        ``parameters`` and ``multiply_adds`` as [before, after], ``masked_difference`` (largest
        absolute difference between the pruned network and the masked one), and with ``measure_ap``
        the ``metrics``.
    """
    if "module" in config:
        raise ValueError(
            "expected pruning=one_shot or pruning=none of python -m src.prune, got pruning=soft; "
            "python -m src.train pruning=soft prunes along a training"
        )
    instead = f"python -m src.prune checkpoint={config.checkpoint} trainer.devices=1 works"
    check_one_device(config.trainer, "to prune at once", instead)
    spec: PruningSpec | None = instantiate(config.pruning, _convert_="all")
    model = checkpoint.load(config.checkpoint).model
    datamodule: FaceDataModule = instantiate(config.data, _convert_="all")
    results: dict[str, Any] = {"checkpoint": config.checkpoint}
    pruned = model
    L.seed_everything(config.seed, workers=True, verbose=False)
    if spec is not None:
        pruned, done = prune_at_once(
            model, spec, height=config.height, width=config.width,
            batches=datamodule.training_crops(spec.images_needed),
        )  # fmt: skip
        results |= done
    else:
        size = complexity(model, config.height, config.width)
        results |= {name: [value, value] for name, value in size._asdict().items()}
    record(folder, config)
    if config.recalibration.batches:
        datamodule.prepare_data()
        pruned.to(find_device("cpu" if config.trainer.accelerator == "cpu" else None))
        images = datamodule.training_images(config.recalibration.batches)
        recalibrate(
            pruned, tracked(images, "recalibration", config.recalibration.batches, unit="batch")
        )
        pruned.cpu()
    facts = {"from": config.checkpoint}
    facts |= {name: results[name] for name in ("rates", "realised_rates") if name in results}
    file = folder / "pruned.ckpt"
    metrics = save_and_score(file, pruned, datamodule, config, pruning=facts)
    results["metrics"] = metrics
    write_json(folder / "pruning.json", results)
    log.info("%s", summary(results))
    if metrics:
        log.info("before fine-tuning:\n%s", results_table({file.name: metrics}))
    if spec is not None:
        draw_widths(results["widths"], folder / "widths.png")
    log.info("pruned network: %s", file)
    return results


def summary(results: dict[str, Any]) -> str:
    """Sizes before and after, and the rates."""
    lines = []
    for name in ("parameters", "multiply_adds"):
        before, after = results[name]
        lines.append(
            f"{name.replace('_', '-'):14}{before:>14,} -> {after:>14,}  x{after / before:.3f}"
        )
    if "rates" in results:
        lines.append(f"{'group':14}{'asked':>9}{'realised':>10}")
        for name, realised in results["realised_rates"].items():
            lines.append(f"{name:14}{results['rates'][name]:9.3f}{realised:10.3f}")
        lines.append(f"removed differs from masked by {results['masked_difference']:.2g} at most")
    return "\n".join(lines)


main = command("prune", prune, objective=lambda pruned: pruned["metrics"].get("ap", float("nan")))


if __name__ == "__main__":
    main()
