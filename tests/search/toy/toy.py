"""A command for the tests of the search: starts in a second, takes as long as it is told.

It writes a line for each start and each end of a trial to ``config.events``, and a trial that was
killed goes on from its last step.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from src.search.job import watcher


def note(config: DictConfig, *words: Any) -> None:
    """Add a line of number, process, moment and ``words`` to what happened."""
    line = " ".join(map(str, (HydraConfig.get().job.num, os.getpid(), time.time(), *words)))
    with open(config.events, "ab", buffering=0) as file:
        file.write(f"{line}\n".encode())


def trial(config: DictConfig) -> Any:
    """A bowl around x = 0.3, y = 0.7; kind b is worse by 0.1."""
    progress = Path(HydraConfig.get().runtime.output_dir) / "step"
    first = int(progress.read_text()) if progress.exists() else 0
    note(config, "start", first)
    value = (config.x - 0.3) ** 2 + (config.y - 0.7) ** 2 + (0.1 if config.kind == "b" else 0.0)
    listener = watcher()
    for step in range(first, config.steps):
        time.sleep(config.seconds / config.steps)
        partial = progress.with_name("step.partial")
        partial.write_text(str(step + 1))
        os.replace(partial, progress)
        if listener is not None and listener.report(value / (step + 1), step):
            note(config, "given up")
            return {"objective": [], "given_up": True}
    if config.x > config.fail_above:
        raise ValueError(f"expected x of at most {config.fail_above}, got <{config.x:.2f}>")
    note(config, "end")
    return {
        "objective": value if config.objectives == 1 else [value, config.x],
        "attributes": {"first_step": first},
    }


@hydra.main(version_base="1.3", config_path="conf", config_name="toy")
def main(config: DictConfig) -> Any:
    return trial(config)


if __name__ == "__main__":
    main()
