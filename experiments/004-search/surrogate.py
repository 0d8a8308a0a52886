"""A smooth stand-in for an expensive objective, from a table of real trials.

It is a regression, without the trials' noise, so that what a search returns can be judged without
luck. There are two, of different kinds: searches that believe in a Gaussian process should not be
compared on one alone.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.search.posterior import GaussianProcess

FOLDS = 10

Loss = Callable[[np.ndarray], np.ndarray]
"""Points [M, D], about within the unit cube -> losses [M]."""

Fit = Callable[[np.ndarray, np.ndarray], Loss]
"""Points [N, D] and losses [N] of trials -> what lies behind them."""


class Table(NamedTuple):
    """Trials in the order of the file."""

    points: np.ndarray
    """[N, D]."""
    losses: np.ndarray
    """[N]."""
    parameters: np.ndarray
    """[N], of the pruned network."""
    plans: np.ndarray
    """[N], the same number for trials that differ in their seed only."""

    @property
    def deviation(self) -> float:
        """Between trials of one plan; NaN if none is repeated."""
        spare = len(self.losses) - len(set(self.plans))
        sums, counts = (np.bincount(self.plans, weights) for weights in (self.losses, None))
        squares = (self.losses - (sums / counts)[self.plans]) ** 2
        return float(np.sqrt(squares.sum() / spare)) if spare else float("nan")


class Quality(NamedTuple):
    """How well plans are predicted that were left out, a tenth at a time."""

    error: float
    """Root mean square difference to their trials, whose noise it includes."""
    explained: float
    """Share of the variance (R²)."""


def read_table(file: Path, names: Sequence[str]) -> Table:
    """Read a CSV file with the columns ``names``, ``parameters`` and ``loss``.

    Raises:
        ValueError: a column is missing.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    missing = {*names, "parameters", "loss"} - set(rows[0] if rows else [])
    if missing:
        raise ValueError(f"expected the columns {', '.join(sorted(missing))} in {file}, got none")
    points = np.array([[float(row[name]) for name in names] for row in rows])
    return Table(
        points=points,
        losses=np.array([float(row["loss"]) for row in rows]),
        parameters=np.array([float(row["parameters"]) for row in rows]),
        plans=np.unique(points, axis=0, return_inverse=True)[1].reshape(-1),
    )


def process(points: np.ndarray, losses: np.ndarray) -> Loss:
    """A plane and a Gaussian process on what it leaves: far from the trials, the plane."""
    ones = np.ones((len(points), 1))
    plane = np.linalg.lstsq(np.hstack([ones, points]), losses, rcond=None)[0]
    rest = GaussianProcess.fit(points, losses - plane[0] - points @ plane[1:])
    return lambda others: plane[0] + others @ plane[1:] + rest.posterior(others).mean


def quadratic(points: np.ndarray, losses: np.ndarray) -> Loss:
    """Least squares with all products of two coordinates."""
    weights = np.linalg.lstsq(_products(points), losses, rcond=None)[0]
    return lambda others: _products(others) @ weights


FITS: dict[str, Fit] = {"process": process, "quadratic": quadratic}


def cross_validated(fit: Fit, points: np.ndarray, table: Table) -> Quality:
    """The quality of a regression of the table's losses at ``points`` [N, D]."""
    order = np.random.default_rng(0).permutation(table.plans.max() + 1)
    errors = np.empty(len(points))
    for fold in range(FOLDS):
        out = order[table.plans] % FOLDS == fold
        if out.any():
            errors[out] = fit(points[~out], table.losses[~out])(points[out]) - table.losses[out]
    error = float(np.sqrt(np.mean(errors**2)))
    return Quality(error, 1 - error**2 / float(np.var(table.losses)))


def _products(points: np.ndarray) -> np.ndarray:
    """1, the coordinates, and their products, [N, 1 + D + D (D + 1) / 2]."""
    first, second = np.triu_indices(points.shape[1])
    pairs = points[:, first] * points[:, second]
    return np.hstack([np.ones((len(points), 1)), points, pairs])
