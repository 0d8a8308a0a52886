"""The search itself: ask the study, launch the jobs, tell the study; any number of times over."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import Trial

from src.cli.declared import AtLeast0, AtLeast1, Name
from src.cli.errors import USER_ERRORS, describe
from src.cli.settings import check_types, declared, refuse
from src.cli.targets import instantiate
from src.data.fingerprint import data_fingerprint
from src.runs.files import write_json
from src.runs.locks import alone_in
from src.runs.nested import flatten, is_below
from src.runs.processes import check_one_device
from src.search.choice import choose
from src.search.job import RESULT, Job, Result, read_result
from src.search.leases import Leases
from src.search.outcome import BEST, write_best
from src.search.progress import Progress, shown
from src.search.progress import settings as shown_settings
from src.search.report.writer import write_sweep_report
from src.search.sampling import Feasible, SearchSampler
from src.search.space import search_space
from src.search.study import Trials, keeps_constraints, open_study

log = logging.getLogger(__name__)

SWEEPS = Path("outputs/sweeps")

POLL = 1.0
"""Seconds between looks at what other processes do."""

MAY_DIFFER = (
    *(f"trainer.{name}" for name in ("accelerator", "devices", "num_nodes", "log_every_n_steps")),
    *("data.num_workers", "logger", "run", "run_dir", "group", "hydra"),
)
"""Settings that processes on other machines, or a later attempt, may have otherwise."""


SETTINGS: Mapping[str, Any] = {
    "best": Sequence[str],
    "design": AtLeast1,
    "direction": str | Sequence[str],
    "feasible": str | None,
    "grace": Annotated[float, 0],
    "max_failures": AtLeast0,
    "n_jobs": AtLeast1,
    "n_trials": AtLeast1,
    "params": Mapping | None,
    "pruner": Mapping,
    "sampler": Mapping,
    "storage": str | None,
    "study_name": Name | None,
    "warm_start": Sequence[Mapping],
    "what": str | Sequence[str | None],
}
"""Setting of the sweeper -> its type."""


class Sweep:
    """A search with Hydra's launchers.

    Args:
        settings: of the sweeper, see conf/hydra/sweeper/optuna.yaml.
        context, task, config: what Hydra gives its sweepers.
        arguments: of the command line.

    Raises:
        ValueError: settings that cannot work; before any trial.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        context: HydraContext,
        task: Callable[[DictConfig], Any],
        config: DictConfig,
        arguments: Sequence[str],
    ) -> None:
        self.settings = dict(settings)
        self.context = context
        self.task = task
        self.config = config
        check_processes(config)
        check_settings(self.settings)
        parser = OverridesParser.create(config_loader=context.config_loader)
        given = [f"{key}={value}" for key, value in (self.settings["params"] or {}).items()]
        self.space = search_space(parser.parse_overrides([*given, *arguments]))
        self.folder = self._place()
        self.name = str(self.settings["study_name"] or self.folder.name)
        directions = self.settings["direction"]
        self.directions = [directions] if isinstance(directions, str) else list(directions)
        self.feasible: Feasible | None = None
        base = self._compose({})
        self._check_types(base)
        if self.settings["feasible"]:
            make = _function(self.settings["feasible"])
            self.space, self.feasible = make(base, self.space)
        self.sampler = self._sampler(self.space.distributions)
        self._compose(self.sampler.probe())  # a mistake in the settings shows before any trial
        left = [place for place in self.folder.glob("*") if place.name.isdecimal()]
        study = open_study(
            self.name, storage=self.settings["storage"], folder=self.folder,
            directions=self.directions, sampler=self.sampler, settings=self._fingerprint(base),
        )  # fmt: skip
        if left and not study.get_trials(deepcopy=False):  # its jobs would go on from theirs
            raise ValueError(
                f"expected a new study in a folder of its own, got trials of another one in "
                f"{self.folder}; remove it or choose another name"
            )
        self.leases = Leases(study, grace=float(self.settings["grace"]))
        self.trials = Trials(
            study, self.space.distributions, n_trials=self.settings["n_trials"],
            max_failures=self.settings["max_failures"], leases=self.leases, feasible=self.feasible,
        )  # fmt: skip

    def run(self) -> dict[str, Any]:
        """Run the trials that are missing; returns the content of ``results.json``."""
        launcher = self._launcher()
        progress = Progress(self.trials)
        if done := len(self.trials.finished()):
            log.info("study %s goes on: %d of %d trials are there", self.name, done,
                     self.trials.n_trials)  # fmt: skip
        while True:
            batch = self.trials.next(self.settings["n_jobs"])
            with self.leases.held(batch):
                for trials in _consecutive(batch):
                    self._launch(launcher, trials, progress)
            if not batch:
                if not self.trials.others_at_work():
                    break
                time.sleep(POLL)
        with alone_in(self.folder):  # workers that end together write the same files
            return self._conclude()

    def _launch(self, launcher: Launcher, trials: Sequence[Trial], progress: Progress) -> None:
        """Run jobs whose numbers follow each other, and record what came of them."""
        jobs = [self._overrides(trial.params) for trial in trials]
        returns: Sequence[JobReturn | Exception]
        try:
            returns = launcher.launch(jobs, initial_job_idx=trials[0].number)
        except Exception as error:  # such as of a process of the launcher's own that was killed
            log.warning("the launcher stopped: %s", error)
            returns = [error] * len(trials)
        for trial, returned in zip(trials, returns, strict=True):
            result = self._result(trial.number, returned)
            if self.trials.tell(trial, result):
                log.info("%s", progress.line(trial.number))
            else:
                log.info("trial %d was finished by another process", trial.number)

    def _result(self, number: int, returned: JobReturn | Exception) -> Result | str:
        """What a job left, or the reason why there is nothing."""
        if isinstance(returned, JobReturn) and returned.status == JobStatus.COMPLETED:
            return read_result(returned.return_value)
        file = self.folder / str(number) / RESULT
        if file.exists():
            return read_result(json.loads(file.read_text()))
        error = returned._return_value if isinstance(returned, JobReturn) else returned
        return " ".join(str(error).split()) or type(error).__name__

    def _conclude(self) -> dict[str, Any]:
        """Write the best point and the report."""
        study, distributions = self.trials.study, self.space.distributions
        results: dict[str, Any] = {
            "study": self.name,
            "finished": len(self.trials.finished()),
            "failed": len(self.trials.failed()),
        }
        if len(self.directions) > 1:
            results["pareto"] = [
                {"number": t.number, "values": t.values, "params": t.params}
                for t in study.best_trials
            ]
        kept = [t for t in study.get_trials(deepcopy=False) if keeps_constraints(t)]
        chosen = choose(kept, distributions, direction=study.directions[0])
        best = chosen.trial
        results |= {
            "best": best.number, "params": best.params, "values": best.values,
            "posterior_mean": chosen.means[best.number],
            "posterior_deviation": chosen.deviations[best.number],
        }  # fmt: skip
        loader = self.context.config_loader
        write_best(
            self.folder / BEST, best.params, self._compose(best.params),
            whole=self.settings["best"], is_group=lambda key: bool(loader.get_group_options(key)),
            comments=[
                f"Trial {best.number} of study {self.name}, the best by the posterior mean of "
                f"{results['finished']} trials.",
            ],
        )  # fmt: skip
        write_json(self.folder / "results.json", results)
        report = self.folder / "report.html"
        what, feasible = self.settings["what"], self.feasible
        names = [what] if isinstance(what, str) else list(what)
        write_sweep_report(
            study, report, distributions=distributions, chosen=chosen,
            title=f"Search {self.name}", what=names[0], second=names[-1],
            probe="middle of the space" if feasible is None else "uniform point",
            project=None if feasible is None else feasible.project,
        )  # fmt: skip
        log.info(
            "best: trial %d, %s observed, %.5g by the posterior mean: %s",
            best.number, shown(best.values), chosen.means[best.number],
            shown_settings(best.params),
        )  # fmt: skip
        log.info("report: %s; for the next command: %s", report, self.folder / BEST)
        return results

    # What Hydra needs

    def _place(self) -> Path:
        """The folder of the study, told to Hydra as the folder of the jobs."""
        given = any(o.startswith("hydra.sweep.dir=") for o in self.config.hydra.overrides.hydra)
        name = self.settings["study_name"]
        folder = SWEEPS / str(name) if name and not given else Path(self.config.hydra.sweep.dir)
        with read_write(self.config), open_dict(self.config):
            self.config.hydra.sweep.dir = str(folder)
            self.config.hydra.sweep.subdir = "${hydra.job.num}"
            if not given:
                text = str(folder).replace("'", "\\'")
                self.config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{text}'")
        return folder

    def _overrides(self, params: Mapping[str, Any]) -> list[str]:
        return [*self.space.fixed, *(f"{key}={value}" for key, value in params.items())]

    def _compose(self, params: Mapping[str, Any]) -> DictConfig:
        """The configuration of a job."""
        config = self.context.config_loader.load_sweep_config(self.config, self._overrides(params))
        with open_dict(config):
            config.hydra.job.num = 0
            config.hydra.job.id = "0"
            config.hydra.runtime.output_dir = str(self.folder / "0")
        return config

    def _check_types(self, config: DictConfig) -> None:
        """Refuse a setting of the wrong type before the first trial, not in each of them."""
        hydra, before = HydraConfig.instance(), HydraConfig.instance().cfg
        hydra.set_config(config)  # what settings that refer to Hydra's find in a job
        try:
            own = [str(key) for key in config if key != "hydra"]
            check_types(OmegaConf.masked_copy(config, own))
        finally:
            hydra.cfg = before

    def _launcher(self) -> Launcher:
        pruner: Any = OmegaConf.to_container(self.settings["pruner"], resolve=True)
        idle = pruner["_target_"].endswith("NopPruner")
        job = Job(
            self.task, storage=self.settings["storage"], folder=self.folder.absolute(),
            study_name=self.name, pruner=None if idle else pruner,
        )  # fmt: skip
        # One line per trial is ours; Hydra's would be two more.
        logging.getLogger("hydra._internal.core_plugins.basic_launcher").setLevel(logging.WARNING)
        return Plugins.instance().instantiate_launcher(
            hydra_context=self.context, task_function=job, config=self.config
        )

    def _sampler(self, distributions: Mapping[str, BaseDistribution]) -> SearchSampler:
        plain: Any = OmegaConf.to_container(self.settings["sampler"], resolve=True)
        seed = plain.pop("seed", 0) or 0

        def make(seed: int) -> BaseSampler:
            return instantiate({**plain, "seed": seed})

        return SearchSampler(
            make, distributions, seed=seed, design=self.settings["design"], feasible=self.feasible,
            warm_start=[dict(point) for point in self.settings["warm_start"]],
        )  # fmt: skip

    def _fingerprint(self, base: DictConfig) -> dict[str, str]:
        """Setting -> value, of what makes the trials and their order."""
        plain = OmegaConf.to_container(base, resolve=False)
        flat = {
            key: str(value)
            for key, value in flatten(plain).items()
            if value != {} and not is_below(key, MAY_DIFFER)
        }
        ours = {key: self.settings[key] for key in ("sampler", "pruner", "design", "warm_start")}
        flat |= {f"hydra.sweeper.{key}": str(value) for key, value in ours.items()}
        data = base.get("data")
        if data is not None and data.get("generator") is None:  # generated ones follow settings
            flat["images or labels"] = data_fingerprint(Path(data.root))
        flat["searched"] = ", ".join(self.space.distributions)  # their order makes the points
        for key, distribution in self.space.distributions.items():
            flat[key] = str(distribution)
        return flat


def sweep(
    settings: Mapping[str, Any],
    context: HydraContext,
    task: Callable[[DictConfig], Any],
    config: DictConfig,
    arguments: Sequence[str],
) -> dict[str, Any]:
    """Run a search; a user's mistake ends the process with one sentence."""
    try:
        return Sweep(settings, context, task, config, arguments).run()
    except USER_ERRORS as error:
        sys.exit(f"error: {describe(error)}")
    except (KeyboardInterrupt, SystemExit):  # what Lightning makes of Ctrl-C is the second
        sys.exit("stopped; the same command goes on")


def check_processes(config: DictConfig) -> None:
    """Refuse what would start the whole search again on every device.

    Raises:
        ValueError: with the command that works instead.
    """
    instead = (
        "start the command once per device instead, they share the study: "
        "CUDA_VISIBLE_DEVICES=0 <command> & CUDA_VISIBLE_DEVICES=1 <command> & wait"
    )
    ranks = {n: os.environ[n] for n in ("RANK", "LOCAL_RANK", "WORLD_SIZE") if n in os.environ}
    if ranks and ranks != {"WORLD_SIZE": "1"}:
        found = ", ".join(f"{name}={value}" for name, value in ranks.items())
        raise ValueError(
            f"expected a search outside torchrun and the processes of a training, got {found}: "
            f"every one of them would run the whole search; {instead}"
        )
    check_one_device(config.get("trainer") or {}, "in a search", instead)


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings of the sweeper that cannot work.

    Raises:
        ValueError: naming the setting.
    """
    plain = OmegaConf.to_container(OmegaConf.create(dict(settings)), resolve=True)
    refuse(declared(plain, SETTINGS, "hydra.sweeper."))
    directions = settings["direction"]
    given = {directions} if isinstance(directions, str) else set(directions)
    if not given or not given <= {"minimize", "maximize"}:
        raise ValueError(
            "expected hydra.sweeper.direction of minimize or maximize, or a list of them, got "
            f"{directions!r}"
        )


def _function(name: str) -> Callable[..., Any]:
    try:
        return get_method(name)
    except Exception as error:  # such as of importing the module
        raise ValueError(
            f"expected hydra.sweeper.feasible to name a function, got {name!r}: {error}"
        ) from error


def _consecutive(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Trials in runs of numbers that follow each other, as launchers count."""
    runs: list[list[Trial]] = []
    for trial in sorted(trials, key=lambda t: t.number):
        if runs and runs[-1][-1].number + 1 == trial.number:
            runs[-1].append(trial)
        else:
            runs.append([trial])
    return runs
