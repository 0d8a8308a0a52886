"""A Gaussian process on the unit cube: what noisy trials say of the function behind them.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006): chapter 2 (posterior,
likelihood), equation 4.17 (Matern 5/2), section 5.4 (slope of the likelihood).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

LENGTHSCALE = (np.log(0.7), 0.8)
"""Prior of a lengthscale's logarithm, mean and deviation; in sides of the cube."""
SIGNAL = (0.0, 1.0)
"""The same of the function's variance, that of the values being 1."""
NOISE = (np.log(0.01), 1.5)
"""The same of the noise's variance."""

STARTS = 4
"""Starts of the search for the parameters: the prior's medians, and points drawn from it."""
JITTER = 1e-6
WIDTH = 4.0
"""Deviations of the prior that the parameters are searched in: keeps matrices invertible."""


class Posterior(NamedTuple):
    """What is known of the function at some points, in the units of its values."""

    mean: np.ndarray
    """[M]."""
    deviation: np.ndarray
    """[M], of the function itself: without the noise of one more measurement."""


class GaussianProcess:
    """Matern 5/2 with a lengthscale per coordinate, at the most probable parameters.

    Most probable in the logarithms of the parameters: without data they are the priors' medians.
    Made by ``fit``.

    Attributes:
        lengthscales: [D], in sides of the cube.
        noise: deviation of one measurement around the function, in the units of the values.
        log_density: of the values and the parameters, up to a constant, for standardised values.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, parameters: np.ndarray) -> None:
        self._x = x
        self._centre, self._scale = _moments(y)
        self._parameters = parameters
        values = (y - self._centre) / self._scale
        factor, self._weights, misfit = _condition(_covariance(x, parameters), values)
        self._factor = factor[0]
        self.log_density = -misfit - _surprise(parameters)
        self.lengthscales = np.exp(parameters[:-2])
        self.noise = float(np.exp(parameters[-1] / 2)) * self._scale

    @classmethod
    def fit(cls, x: np.ndarray, y: np.ndarray, *, seed: int = 0) -> GaussianProcess:
        """Fit to values [N] at points [N, D] of the unit cube; points may repeat.

        Values that are all the same, or only one, say nothing of their scale: deviations are then
        those of a function whose values vary by 1.

        Args:
            x: points, each coordinate about 0 to 1.
            y: values in any unit.
            seed: of the starts of the search for the parameters.

        Raises:
            ValueError: no values, shapes that do not belong together, or values not finite.
        """
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if x.ndim != 2 or y.shape != x.shape[:1] or not len(y):
            raise ValueError(
                f"expected points [N, D] and values [N] with N of 1 or more, got shapes {x.shape} "
                f"and {y.shape}"
            )
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ValueError(
                "expected finite points and values, got NaN or infinity; leave them out"
            )
        centre, scale = _moments(y)
        means, deviations = _prior(x.shape[1])
        rng = np.random.default_rng(seed)
        draws = means + deviations * rng.standard_normal((STARTS - 1, len(means)))
        low, high = means - WIDTH * deviations, means + WIDTH * deviations
        task = ((y - centre) / scale, (x[:, None] - x[None]) ** 2)
        searches: list[Any] = [
            minimize(
                negative_log_density, start, task, jac=True, method="L-BFGS-B",
                bounds=list(zip(low, high, strict=True)),
            )
            for start in (means, *np.clip(draws, low, high))
        ]  # fmt: skip
        best = min(searches, key=lambda search: search.fun)
        return cls(x, y, best.x)

    def posterior(self, x: np.ndarray) -> Posterior:
        """What the values say of the function at points [M, D]."""
        x = np.asarray(x, dtype=np.float64)
        variance = np.exp(self._parameters[-2])
        apart = (x[:, None] - self._x[None]) ** 2
        covariance = variance * _matern(apart, self.lengthscales)[0]
        mean = covariance @ self._weights
        known = solve_triangular(self._factor, covariance.T, lower=True, check_finite=False)
        unknown = np.sqrt(np.maximum(variance - (known**2).sum(axis=0), 0.0))
        return Posterior(self._centre + self._scale * mean, self._scale * unknown)


def negative_log_density(
    parameters: np.ndarray, values: np.ndarray, apart: np.ndarray
) -> tuple[float, np.ndarray]:
    """Minus the logarithm of the density of values and parameters, up to a constant, and its slope.

    Args:
        parameters: [D + 2], logarithms of the lengthscales, the function's variance and the
            noise's variance.
        values: [N], standardised.
        apart: [N, N, D], squared differences of the points' coordinates.
    """
    lengthscales, (variance, noise) = np.exp(parameters[:-2]), np.exp(parameters[-2:])
    correlation, steep = _matern(apart, lengthscales)
    covariance = variance * correlation
    covariance[np.diag_indices_from(covariance)] += noise + JITTER
    factor, weights, misfit = _condition(covariance, values)
    inverse = cho_solve(factor, np.eye(len(values)), check_finite=False)
    pull = np.outer(weights, weights) - inverse
    slope = np.empty_like(parameters)
    slope[:-2] = np.tensordot(variance * pull * steep, apart, axes=2) / lengthscales**2
    slope[-2] = variance * (pull * correlation).sum()
    slope[-1] = noise * np.trace(pull)
    means, deviations = _prior(apart.shape[2])
    return misfit + _surprise(parameters), -slope / 2 + (parameters - means) / deviations**2


def _condition(covariance: np.ndarray, values: np.ndarray) -> tuple[Any, np.ndarray, float]:
    """Cholesky factor, weights [N] of the posterior mean, and minus the log likelihood."""
    factor = cho_factor(covariance, lower=True, check_finite=False)
    weights = cho_solve(factor, values, check_finite=False)
    return factor, weights, float(values @ weights / 2 + np.log(np.diag(factor[0])).sum())


def _covariance(x: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    variance, noise = np.exp(parameters[-2:])
    correlation, _ = _matern((x[:, None] - x[None]) ** 2, np.exp(parameters[:-2]))
    return variance * correlation + (noise + JITTER) * np.eye(len(x))


def _matern(apart: np.ndarray, lengthscales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlations at squared differences [..., D]; what their slopes in the lengthscales share."""
    far = np.sqrt(5 * (apart @ lengthscales**-2.0))
    fading = np.exp(-far)
    return (1 + far + far**2 / 3) * fading, 5 / 3 * (1 + far) * fading


def _prior(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations [D + 2] of the parameters' normal priors."""
    means, deviations = np.array([LENGTHSCALE] * size + [SIGNAL, NOISE]).T
    return means, deviations


def _surprise(parameters: np.ndarray) -> float:
    means, deviations = _prior(len(parameters) - 2)
    return float((((parameters - means) / deviations) ** 2).sum() / 2)


def _moments(y: np.ndarray) -> tuple[float, float]:
    """Mean and deviation; 1 where the values differ by rounding only."""
    centre, scale = float(y.mean()), float(y.std())
    return centre, scale if scale > 1e-12 * max(abs(centre), 1e-300) else 1.0
