"""Networks side by side: ``python -m src.measure checkpoints=[a.ckpt,b.ckpt]``.

One table of what each costs and what it finds: parameters, multiply-adds, AP and the time of one
image, timed in turn as ``src.benchmark`` does; ``--help`` lists the options.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from src.cli import command
from src.cli.targets import instantiate
from src.comparison import draw_training
from src.contest.networks import data_facts, load_networks, names_of, score_networks
from src.contest.page import size_rows
from src.data.datamodule import FaceDataModule
from src.models import FaceDetector
from src.profiling.complexity import complexity
from src.profiling.devices import device_name
from src.profiling.timing import time_in_turn
from src.report.charts import SIZE_LABELS
from src.report.tables import markdown_table, percent
from src.runs.files import write_json
from src.runs.processes import check_one_device
from src.runs.provenance import revision
from src.runs.record import record

log = logging.getLogger(__name__)


def measure(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Measure what ``config`` names; writes ``measure.json`` and ``measure.md`` into ``folder``.

    Of the networks that lie in the folder of their training, ``curves.png`` shows how it went.

    Returns:
        The content of ``measure.json``: ``networks``, each with ``name``, ``checkpoint``,
        ``parameters``, ``multiply_adds``, with ``measure_ap`` the ``metrics`` (AP from 0 to 1), and
        what :func:`src.profiling.timing.time_in_turn` makes of its times: ``median`` (seconds per
        image), ``ratio`` (to the first network's), ...; and how it was measured.
    """
    given = config.checkpoints
    paths = [given] if isinstance(given, str) else list(given or [])
    if not paths:
        raise ValueError(
            "expected the file of at least one network, got none; set checkpoints=[FILE,FILE]"
        )
    instead = f"python -m src.measure checkpoints=[{','.join(paths)}] trainer.devices=1 works"
    check_one_device(config.trainer, "to measure networks", instead)
    models = load_networks(paths)
    record(folder, config)
    rows = [
        {"name": name, "checkpoint": path,
         **complexity(model, config.height, config.width)._asdict()}
        for (name, model), path in zip(models.items(), paths, strict=True)
    ]  # fmt: skip
    results: dict[str, Any] = {
        "networks": rows, "height": config.height, "width": config.width,
        "device": f"cpu, {device_name(torch.device('cpu'))}", "threads": config.threads,
        "rounds": config.rounds, "revision": revision(),
    }  # fmt: skip
    if config.measure_ap:
        datamodule: FaceDataModule = instantiate(config.data, _convert_="all")
        scored = score_networks(config, models, datamodule)
        for row in rows:
            row["metrics"] = dict(scored[row["name"]].metrics)
        results["data"] = data_facts(config, datamodule)
    results["networks"] = add_times(config, rows, list(models.values()))
    write_json(folder / "measure.json", results)
    table = networks_table(results["networks"])
    lines = "\n".join(f"- {line}" for line in method_lines(results))
    log.info("medians of %d rounds, %s:\n%s", config.rounds, results["device"], table)
    if config.measure_ap:
        by_size = sizes_table(results["networks"])
        log.info("AP of hard faces by size, sqrt(width x height) in pixels:\n%s", by_size)
        table = f"{table}\n\nHard faces by size, sqrt(width x height) in pixels:\n\n{by_size}"
    (folder / "measure.md").write_text(f"{table}\n\n{lines}\n", encoding="utf-8")
    log.info("table: %s", folder / "measure.md")
    if runs := runs_of(paths):
        draw_training(runs, folder / "curves.png")
        log.info("loss and AP during training: %s", folder / "curves.png")
    return results


def runs_of(paths: Sequence[str]) -> dict[str, Path]:
    """Name in the table -> folder of the training, of the files that lie in one with curves."""
    folders = {name: Path(path).absolute().parent.parent
               for name, path in zip(names_of(paths), paths, strict=True)}  # fmt: skip
    return {name: run for name, run in folders.items() if (run / "metrics.csv").exists()}


def add_times(
    config: DictConfig, rows: Sequence[dict[str, Any]], models: Sequence[FaceDetector]
) -> list[dict[str, Any]]:
    """The rows with the times of their networks on one image, on the CPU."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(
        0, 256, (1, 3, config.height, config.width), dtype=torch.uint8, generator=generator
    )
    log.info("timing %d networks in turn, %d rounds", len(rows), config.rounds)
    jobs = [({"kind": "network", **row}, _forward(model, image))
            for row, model in zip(rows, models, strict=True)]  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        return time_in_turn(jobs, config.rounds)
    finally:
        torch.set_num_threads(threads)


def networks_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line per network, in columns of equal width."""
    measured = "metrics" in rows[0]
    levels = ("easy", "medium", "hard") if measured else ()
    head = ["network", "parameters", "mult-adds", *(f"AP {level}" for level in levels)]
    cells = [
        [
            f"`{row['name']}`", f"{row['parameters']:,}", f"{row['multiply_adds'] / 1e6:,.1f}M",
            *(percent(row["metrics"][f"ap_{level}"]) for level in levels),
            f"{1000 * row['median']:.2f}", f"{row['ratio']:.2f}",
        ]
        for row in rows
    ]  # fmt: skip
    return markdown_table([*head, "ms/image", "ratio"], cells)


def sizes_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """AP of each network by face size; n/a where the images have no such face."""
    cells = [[f"`{name}`", *values] for name, *values in size_rows(rows)]
    return markdown_table(["network", *(f"AP {label}" for label in SIZE_LABELS.values())], cells)


def method_lines(results: Mapping[str, Any]) -> list[str]:
    """How the table came about."""
    size = f"{results['width']} x {results['height']} pixels"
    lines = [
        f"Multiply-adds and times of one image of {size}; eager PyTorch on {results['device']}, "
        f"threads: {results['threads']}, medians of {results['rounds']} rounds; the ratio is that "
        "to the first network's time.",
        *(f"`{row['name']}`: {row['checkpoint']}" for row in results["networks"]),
        f"Revision {results['revision']}.",
    ]
    if "data" in results:
        data = results["data"]
        side = f"longer side {data['long_side']} px" if data["long_side"] else "original size"
        images = f"{data['images']} images of {data['root']} ({data['split']}, {side})"
        lines.insert(0, f"AP in per cent on {images}; ground truth: {data['ground_truth']}.")
    return lines


def _forward(model: FaceDetector, image: torch.Tensor) -> Callable[[], None]:
    model = model.eval().cpu()

    @torch.inference_mode()
    def run() -> None:
        model(model.normalise(image))

    return run


main = command("measure", measure)


if __name__ == "__main__":
    main()
