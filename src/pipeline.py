"""From a data set to an exported detector: ``python -m src.pipeline``; ``--help`` lists all.

Each stage is a command of this project, run as one would type it. A stage that is done stays as it
is while nothing that it depends on has changed, so the same command goes on where it was killed.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from src.cli import command
from src.cli.options import CONF
from src.runs.locks import only_one_in
from src.runs.provenance import revision
from src.runs.record import record
from src.stages import Chain, Goal, Stage, judge, read_plan
from src.stages.page import write_page
from src.stages.plan import check_stage
from src.stages.state import read_state
from src.stages.tracking import Tracking

log = logging.getLogger(__name__)


def pipeline(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Run the stages that ``config`` names; writes ``pipeline.json`` and ``page.html``.

    Returns:
        The content of ``pipeline.json``: ``stages``, each with ``name``, ``command`` (as typed),
        ``result`` and ``seconds``; ``goals``, each with ``name``, ``target``, ``reached``, ``met``
        and ``sentence``, once the networks are measured; and ``revision``.
    """
    folder = folder.absolute()
    stages = stages_of(config, folder)
    chosen = chosen_stages(config.stages, stages)
    tracking = Tracking(str(config.name)) if config.wandb else None
    chain = Chain(folder, stages, given_results(config), tracking)
    for stage in stages:
        chain.compose(stage)  # a mistake in the last one shows before the first one runs
    if config.dry_run:
        for line in chain.forecast(chosen):
            log.info("%s", line)
        return {"stages": [], "goals": []}
    record(folder, config)
    with only_one_in(folder, "pipeline"):
        for number, stage in enumerate(chosen, 1):
            chain.run(stage, f"[{number}/{len(chosen)}] {stage.name}")
            summary = summarise(config, chain)
            write_page(folder, config.name, chain.current(), summary, config.judged)
    for goal in summary["goals"]:
        log.info("%s", goal["sentence"])
    log.info("page: %s", folder / "page.html")
    return summary


def given_results(config: DictConfig) -> dict[str, Path]:
    """Results that the user brings along, by the name of the stage that would have made them.

    Raises:
        ValueError: there is no such file.
    """
    if config.teacher is None:
        return {}
    file = Path(config.teacher).absolute()
    if not file.is_file():
        raise ValueError(f"expected a file as teacher=, got {config.teacher}, which does not exist")
    return {"teacher": file}


def stages_of(config: DictConfig, folder: Path) -> list[Stage]:
    """The stages of a configuration, with the options of every one of them."""
    plan: Any = OmegaConf.to_container(config.plan, resolve=True) if config.plan else None
    if not isinstance(plan, dict):
        raise ValueError(f"expected a plan with at least one stage, got {config.plan}; set plan=")
    everywhere = _table(config.dataset)
    commands = sorted(file.stem for file in CONF.glob("*.yaml") if file.stem != "pipeline")
    for name, each in plan.items():
        check_stage(name, each, commands)
        if everywhere and takes_data(each["command"]):
            each["options"] = {**each["options"], **everywhere}
    given = list(given_results(config))
    return read_plan(plan, folder, given=given, options=_table(config.options))


def takes_data(name: str) -> bool:
    """Whether a command has the group ``data``."""
    defaults = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))["defaults"]
    return "train" in defaults or any(isinstance(d, dict) and "data" in d for d in defaults)


def chosen_stages(names: Sequence[str] | str | None, stages: Sequence[Stage]) -> list[Stage]:
    """The stages to run, in the order of the plan.

    Raises:
        ValueError: an unknown name.
    """
    wanted = [stage.name for stage in stages] if names is None else names
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    known = [stage.name for stage in stages]
    for name in wanted:
        if name not in known:
            raise ValueError(f"expected stages among {', '.join(known)}; got {name!r}")
    return [stage for stage in stages if stage.name in wanted]


def summarise(config: DictConfig, chain: Chain) -> dict[str, Any]:
    """What the stages have done so far, and whether the targets are met."""
    rows = []
    current = chain.current()
    for stage in chain.stages:
        written = read_state(stage) if stage in current else {}
        rows.append({
            "name": stage.name, "command": written.get("typed"), "result": str(stage.result),
            "seconds": written.get("seconds"), "revision": written.get("revision"),
        })  # fmt: skip
    goals: list[Goal] = []
    table = chain.results[config.judged.table]
    if config.judged.table in [stage.name for stage in current]:
        measured = {row["checkpoint"]: row for row in json.loads(table.read_text())["networks"]}
        before, after = (
            measured[str(chain.results[config.judged[end]])] for end in ("before", "after")
        )
        goals = judge(config.target, before, after)
    return {
        "stages": rows,
        "goals": [{**goal._asdict(), "met": goal.met, "sentence": goal.sentence} for goal in goals],
        "revision": revision(),
    }  # fmt: skip


def _table(setting: DictConfig | None) -> dict[str, Any]:
    """A setting that may be left out."""
    plain: Any = None if setting is None else OmegaConf.to_container(setting, resolve=True)
    return plain or {}


_main = command("pipeline", pipeline, objective=lambda summary: len(summary["stages"]))


def main() -> Any:
    """``--dry-run`` is ``dry_run=true``."""
    sys.argv = ["dry_run=true" if word == "--dry-run" else word for word in sys.argv]
    return _main()


if __name__ == "__main__":
    main()
