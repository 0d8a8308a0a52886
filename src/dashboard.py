"""Workspaces of Weights & Biases as code: ``python -m src.dashboard``; ``--help`` lists all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src.cli import command
from src.runs.files import write_json
from src.tracking.account import LOG_IN, default_entity, has_key
from src.tracking.panels import WORKSPACES

log = logging.getLogger(__name__)


def dashboard(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Write ``workspaces.json`` into ``folder``, and send it where there is a key.

    Returns:
        The content of the file: name of a workspace -> what W&B is sent.

    Raises:
        ValueError: an unknown workspace, or the library is not installed.
    """
    chosen = chosen_workspaces(config.workspaces)
    try:
        from src.tracking.workspaces import as_json, build, push
    except ModuleNotFoundError as error:
        raise ValueError(
            f"expected the package wandb-workspaces, got none ({error}); install it with "
            "pip install 'featherface-training[dashboard]'"
        ) from error
    sends = config.push and has_key()
    entity = config.entity or (default_entity() if sends else "")
    built = {
        name: build(WORKSPACES[name], entity=entity, project=config.project) for name in chosen
    }
    found = {name: as_json(workspace) for name, workspace in built.items()}
    file = folder / "workspaces.json"
    write_json(file, found)
    log.info("%d workspaces: %s", len(found), file)
    if sends:
        for address in push(built.values()):
            log.info("sent: %s", address)
    elif config.push:
        log.info("not sent: %s; the same command sends them then", LOG_IN)
    return found


def chosen_workspaces(names: Sequence[str] | str | None) -> list[str]:
    """Those to build.

    Raises:
        ValueError: an unknown name.
    """
    if names is None:
        return list(WORKSPACES)
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in WORKSPACES:
            raise ValueError(f"expected workspaces among {', '.join(WORKSPACES)}; got {name!r}")
    return wanted


main = command("dashboard", dashboard, objective=len)


if __name__ == "__main__":
    main()
