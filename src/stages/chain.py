"""The stages of a pipeline one after the other, each only where it has to be."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.cli.composed import composed_command
from src.data.fingerprint import data_fingerprint
from src.report.progress import duration
from src.runs.provenance import revision
from src.stages.plan import Stage
from src.stages.process import StageFailed, run_command
from src.stages.state import Standing, checksum, checksum_of, finish, read_state, standing, start
from src.stages.tracking import Tracking

log = logging.getLogger(__name__)

STAMP = re.compile(r"^\[[^]]*\]\[[^]]*\]\[[A-Z]+\] - ")
"""What the log of a command begins its lines with: the pipeline's own has a time, too."""

OWN = ("run", "run_dir", "group", "resume")
"""Settings that say where a stage writes, not what."""


class Chain:
    """Stages that hand their results on.

    Args:
        folder: of the pipeline.
        stages: in their order.
        given: results that exist already, by the name of the stage that would make them.
        tracking: where stages are logged; None: nowhere.

    Attributes:
        results: name -> file, of all stages and what was given.
    """

    def __init__(
        self,
        folder: Path,
        stages: Sequence[Stage],
        given: Mapping[str, Path],
        tracking: Tracking | None = None,
    ) -> None:
        self.folder = folder
        self.stages = list(stages)
        self.given = dict(given)
        self.tracking = tracking
        self.results = {**given, **{stage.name: stage.result for stage in stages}}

    def compose(self, stage: Stage) -> DictConfig:
        """What the command of a stage is configured with.

        An option that is a file which an earlier stage will write, such as the plan of a search, is
        left out until it is there.

        Raises:
            ValueError: its options are not such settings.
        """
        arguments = stage.arguments(self.results)
        to_come = [str(self.results[name]) for name in stage.needs if self._options_to_come(name)]
        known = [each for each in arguments if not any(file in each for file in to_come)]
        return composed_command(stage.command, known, where=f"stage {stage.name}")

    def forecast(self, stages: Sequence[Stage]) -> list[str]:
        """What would run, why, and for how long, a line a stage."""
        lines: list[str] = []
        again: list[str] = []
        for stage in stages:
            after = [name for name in stage.needs
                     if name in again or not self.results[name].is_file()]  # fmt: skip
            found = (
                Standing("changed", f"after {', '.join(after)}", read_state(stage).get("seconds"))
                if after
                else standing(stage, self._dependencies(stage))
            )
            if found.state != "done":
                again.append(stage.name)
            spent = f"; took {duration(found.seconds)} last time" if found.seconds else ""
            verb = "stays" if found.state == "done" else "runs"
            lines.append(f"{stage.name:10} {verb:6} {found.reason}{spent}")
        return lines

    def current(self) -> list[Stage]:
        """The stages that are done with the results of the others as they are now.

        One that was made from an earlier network says nothing of this one.
        """
        known = dict(self.given)
        found = []
        for stage in self.stages:
            written = read_state(stage)
            as_written = stage.result.is_file() and checksum(stage.result) == written.get("result")
            if as_written and all(
                name in known
                and written["depends"].get(f"result of {name}") == checksum(known[name])
                for name in stage.needs
            ):
                known[stage.name] = stage.result
                found.append(stage)
        return found

    def run(self, stage: Stage, label: str) -> None:
        """Bring a stage to its end, unless it is there.

        Args:
            stage: of this chain.
            label: begins its lines in the log.

        Raises:
            ValueError: a result that it needs is missing, or its command failed.
        """
        for name in stage.needs:
            if not self.results[name].is_file():
                raise ValueError(
                    f"expected the result of stage {name} in {self.results[name]} before stage "
                    f"{stage.name}, got no such file; add {name} to stages=[...]"
                )
        depends = self._dependencies(stage)
        found = standing(stage, depends)
        if found.state == "done":
            log.info("%s: %s", label, found.reason)
            return
        if found.state == "changed":
            aside = _set_aside(stage.folder)
            log.info("%s: %s; what was there is now in %s", label, found.reason, aside)
        arguments = stage.arguments(self.results)
        variables: dict[str, str] = {}
        if self.tracking is not None:  # says nothing of the result, so it is no dependency
            arguments += self.tracking.options(stage)
            variables = self.tracking.variables(stage)
        typed = " ".join(["python", "-m", f"src.{stage.command}", *arguments])
        begun = {"typed": typed, "revision": revision(), "depends": depends}
        start(stage, begun)
        log.info("%s: %s", label, typed)
        clock = time.monotonic()
        try:
            run_command(
                stage.command,
                arguments,
                lambda line: log.info("%s: %s", label, STAMP.sub("", line)),
                variables,
            )
        except StageFailed as error:
            raise ValueError(f"stage {stage.name} stopped: {error}") from error
        if not stage.result.is_file():
            raise ValueError(
                f"expected stage {stage.name} to write {stage.result}, got no such file; its "
                "messages are above"
            )
        seconds = time.monotonic() - clock
        finish(stage, begun, seconds=seconds)
        if self.tracking is not None:
            self.tracking.log(stage, self.results, seconds)

    def _options_to_come(self, name: str) -> bool:
        file = self.results[name]
        return file.suffix == ".yaml" and not file.exists()

    def _dependencies(self, stage: Stage) -> dict[str, str]:
        """What a stage depends on -> checksum: settings by name, results of others, the data."""
        config = self.compose(stage)
        plain: Any = OmegaConf.to_container(config)
        text = json.dumps({name: value for name, value in plain.items() if name not in OWN})
        settings = json.loads(text.replace(str(self.folder), "."))  # a folder may be moved
        depends = {name: checksum_of(value) for name, value in settings.items()}
        depends["options"] = checksum_of(dict(stage.options))
        for name in stage.needs:
            depends[f"result of {name}"] = checksum(self.results[name])
        data = config.get("data")
        if data is not None and data.get("generator") is None:  # generated ones follow settings
            depends["images or labels"] = data_fingerprint(Path(data.root))
        return depends


def _set_aside(folder: Path) -> Path:
    """Rename a folder, so that nothing in it is lost or mixed with what comes."""
    number = 1
    while (other := folder.with_name(f"{folder.name}.before{number}")).exists():
        number += 1
    folder.rename(other)
    return other
