"""Convert labelled images between layouts: ``python -m src.convert source=... to=coco``.

``--help`` lists the options; networks are converted by ``src.convert_network``.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src.cli import command
from src.data.conversion import convert, layout_of
from src.data.layouts import LAYOUTS
from src.runs.files import write_json
from src.runs.record import record

log = logging.getLogger(__name__)


def run(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Convert what ``config`` names; writes the tree and ``conversion.json``.

    Returns:
        The content of ``conversion.json``: per split the numbers of images and faces, what was
        ``left_out`` in reading, and what the new layout has no room for, ``lost``.
    """
    source, to = Path(config.source), LAYOUTS[config.to]
    came_from = layout_of(source, config["from"])
    record(folder, config)
    done = convert(
        source,
        folder / "data" if config.output is None else Path(config.output),
        came_from=came_from,
        to=to,
        category=None if config.category is None else str(config.category),
        images=config.images,
        val_share=config.val_share,
        seed=config.seed,
    )
    write_json(folder / "conversion.json", done.content())
    for split, counts in done.splits.items():
        log.info(
            "%s: %s images, %s faces, %s with landmarks, %s to ignore", split,
            *(f"{count:,}" for count in counts.values()),
        )  # fmt: skip
    for what, count in done.left_out.items():
        log.warning("left out: %s %s", f"{count:,}", what)
    for what, count in done.lost.items():
        log.warning("lost, %s has no room for them: %s %s", to.name, f"{count:,}", what)
    if not done.lost and not done.left_out:
        log.info("nothing was lost")
    if "val" not in done.splits:
        log.info("there is no validation split; val_share=0.1 sets one aside")
    log.info("python -m src.train data=%s data.root=%s", to.option, done.output)
    return done.content()


main = command("convert", run)


if __name__ == "__main__":
    main()
