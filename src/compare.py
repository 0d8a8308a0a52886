"""Compare finished runs: ``python -m src.compare runs=outputs/multirun/<date>``.

Runs that differ in their seed alone are one row of the table; ``--help`` lists the options.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src.cli import command
from src.comparison import (
    compare_settings,
    draw_comparison,
    group_runs,
    main_table,
    markdown,
    read_runs,
)
from src.runs.files import write_json
from src.runs.record import record

log = logging.getLogger(__name__)


def compare(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Compare what ``config.runs`` names.

    Writes ``comparison.md``, ``comparison.png`` and ``comparison.json`` into ``folder``.

    Returns:
        The content of ``comparison.json``.
    """
    given = [config.runs] if isinstance(config.runs, (str, int)) else config.runs
    if not given:
        raise ValueError(
            "expected the folder of at least one run or multirun, got none; set runs=FOLDER or "
            "runs=[FOLDER,FOLDER]"
        )
    runs, left_out = read_runs([Path(str(name)) for name in given])
    comparison = compare_settings(group_runs(runs), base=config.base, left_out=left_out)
    record(folder, config)
    content = comparison.content()
    write_json(folder / "comparison.json", content)
    draw_comparison(comparison, folder / "comparison.png")
    text = markdown(comparison, picture="comparison.png")
    (folder / "comparison.md").write_text(text, encoding="utf-8")

    log.info("%d runs, base %s:\n%s", len(runs), comparison.base.name, main_table(comparison))
    for note in comparison.notes:
        log.warning("%s", note)
    for run, reason in comparison.left_out:
        log.warning("left out %s: %s", run, reason)
    log.info("table and picture: %s", folder / "comparison.md")
    return content


main = command("compare", compare)


if __name__ == "__main__":
    main()
