"""Entry point: look through a data set, write a report, exit with 1 if it has errors.

python -m src.check_data data=widerface data.root=/path/to/WIDER_FACE
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from pathlib import Path

from omegaconf import DictConfig

from src.cli import command
from src.cli.targets import instantiate
from src.data.check import check_tree, summary_lines, write_pictures
from src.data.reading import inspect_split
from src.runs.files import write_json
from src.runs.record import record

logger = logging.getLogger(__name__)


def run(cfg: DictConfig, folder: Path) -> int:
    """Check the tree of ``cfg.data``, write report and pictures to ``folder``, count the errors."""
    data = instantiate(cfg.data)
    record(folder, cfg)
    if data.generator is not None:
        data.prepare_data()
    layout = {
        "layout": data.layout, "category": data.category, "max_pixels": data.max_pixels
    }  # fmt: skip
    report = check_tree(
        data.root,
        data.image_size,
        **layout,
        need_val=data.val_split == "val",
        decode=cfg.decode,
        ground_truth=data.ground_truth,
    )
    write_json(folder / "report.json", dataclasses.asdict(report))
    if "train" in report.splits:
        write_pictures(
            report,
            inspect_split(data.root, "train", **layout).annotations,
            data.augmentation,
            folder,
            count=cfg.num_pictures,
            seed=cfg.seed,
        )
    for line in summary_lines(report):
        logger.info("%s", line)
    logger.info("report and pictures in %s", folder)
    return len(report.errors)


def check(cfg: DictConfig, folder: Path) -> None:
    """As :func:`run`; the process ends with 1 if there are errors."""
    sys.exit(1 if run(cfg, folder) else 0)


main = command("check_data", check)


if __name__ == "__main__":
    main()
