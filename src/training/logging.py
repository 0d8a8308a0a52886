"""Loggers of a run: the CSV file that a resumed run continues, what the others are told, and how
they are closed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from src.runs.processes import rank
from src.tracking.lineage import log_lineage


class RunCSVLogger(CSVLogger):
    """``metrics.csv`` in the run folder. Lightning's own logger deletes the file of a killed run.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(folder, name="", version="", flush_logs_every_n_steps=50)
        self._file = Path(self.log_dir) / ExperimentWriter.NAME_METRICS_FILE
        self._first_step: int | None = None

    def log_hyperparams(self, params: Any = None) -> None:
        """Nothing: the run folder has ``config.yaml``."""

    def resume_at(self, step: int) -> None:
        """Keep what the file holds of the steps before ``step``; what came after is done again."""
        self._first_step = step

    @rank_zero_only
    def forget_validation(self, step: int) -> None:
        """Drop a validation at this step, which is done again."""
        if (writer := self.experiment) is not None:
            writer.save()
        if self._file.exists():
            rows, columns = _read(self._file)
            rows = [r for r in rows if not (r.get("val/ap") and r["step"] == str(step))]
            _write(self._file, rows, columns)

    @property
    @rank_zero_only
    def experiment(self) -> ExperimentWriter:
        if self._experiment is None:
            rows: list[dict[str, str]] = []
            if self._first_step is not None and self._file.exists():
                rows, columns = _read(self._file)
                # A kill can cut the last line short.
                rows = [r for r in rows if None not in r.values() and r["step"].isdigit()]
                rows = [row for row in rows if int(row["step"]) < self._first_step]
            self._file.unlink(missing_ok=True)
            self._experiment = _Writer(log_dir=self.log_dir)
            if rows:
                _write(self._file, rows, columns)
                self._experiment.metrics_keys = columns
        return cast(ExperimentWriter, self._experiment)


def _read(file: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Rows, and names of the columns."""
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        return list(reader), list(reader.fieldnames or [])


def _write(file: Path, rows: list[dict[str, str]], columns: list[str]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def log_pictures(loggers: Iterable[Logger], pictures: Mapping[str, np.ndarray], step: int) -> None:
    """Show pictures, [H, W, 3] in BGR, where loggers show any, as ``pictures/NAME``."""
    for logger in loggers:
        for name, picture in pictures.items():
            rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"pictures/{name}", rgb, step, dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image(f"pictures/{name}", [rgb], step=step)


def log_result(
    loggers: Iterable[Logger], settings: Mapping[str, Any], result: Mapping[str, float], step: int
) -> None:
    """Tell dashboards what a run with these settings came to: a row that runs are compared by.

    Files in the run folder hold it already, so ``metrics.csv`` gets nothing.

    Args:
        loggers: of the run.
        settings: name -> value; TensorBoard shows them beside the result (HPARAMS).
        result: name -> value.
        step: optimizer steps done.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(dict(settings), dict(result), step)
        elif not isinstance(logger, RunCSVLogger):
            logger.log_metrics(dict(result), step)


def log_files(
    loggers: Iterable[Logger],
    *,
    used: Iterable[Path],
    made: Iterable[Path] = (),
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Tell W&B which files a run read and wrote; see :func:`src.tracking.lineage.log_lineage`."""
    for logger in loggers:
        if isinstance(logger, WandbLogger) and rank() == 0:
            log_lineage(logger.experiment, used=used, made=made, facts=facts)


def close(loggers: Iterable[Logger]) -> None:
    """Flush what the loggers hold; ends a W&B run, which the next job of a multirun would go on."""
    for logger in loggers:
        logger.finalize("finished")
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()


class _Writer(ExperimentWriter):
    """Without the warning that files in the run folder will be deleted: none is."""

    def _check_log_dir_exists(self) -> None:
        pass
