"""Compare checkpoints, ``python -m src.compare a.ckpt b.ckpt``, or finished runs.

Checkpoints are evaluated and shown on a page; of runs, ``runs=outputs/multirun/<date>``, what they
measured is a table over seeds. ``--help`` lists the options.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from src.cli import command
from src.cli.errors import quieten
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
    """Compare what ``config.runs`` or ``config.checkpoints`` name.

    Returns:
        The content of ``comparison.json``, which is in ``folder``.
    """
    runs, files = _listed(config.runs), _listed(config.checkpoints)
    if bool(runs) == bool(files):
        got = f"runs={','.join(runs)} beside {','.join(files)}" if runs else "none"
        raise ValueError(
            f"expected either checkpoints or runs to compare, got {got}; name files, as in "
            "python -m src.compare a.ckpt b.ckpt, or set runs=FOLDER or runs=[FOLDER,FOLDER]"
        )
    if not files:
        return _compare_runs(config, runs, folder)
    if config.base is not None:
        raise ValueError(
            f"expected base= beside runs= alone, got base={config.base} with checkpoints; leave it "
            "out, the first file is the first row"
        )
    # Imports PyTorch and Lightning, which takes seconds, and runs are read without.
    from src.contest.checkpoints import compare_checkpoints

    quieten()  # Lightning sets the level of its log when it is imported
    return compare_checkpoints(config, files, folder)


def _listed(given: Any) -> list[str]:
    """What a setting of one value or several names."""
    values = given if isinstance(given, ListConfig) else [given]
    return [] if given is None else [str(each) for each in values]


def _compare_runs(config: DictConfig, given: Sequence[str], folder: Path) -> dict[str, Any]:
    """Writes ``comparison.md``, ``comparison.png`` and ``comparison.json``."""
    files = [name for name in given if Path(name).is_file()]
    if files:
        raise ValueError(
            f"expected folders as runs=, got the file {files[0]}; compare files alone: "
            "python -m src.compare a.ckpt b.ckpt"
        )
    runs, left_out = read_runs([Path(name) for name in given])
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


main = command("compare", compare, files="checkpoints")


if __name__ == "__main__":
    main()
