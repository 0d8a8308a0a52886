from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.stats import multivariate_normal

from src.search.posterior import JITTER, GaussianProcess, negative_log_density


def smooth(x: np.ndarray) -> np.ndarray:
    """Bends in the first coordinate, leans in the second, knows no others."""
    return np.sin(4 * x[:, 0]) + x[:, 1]


def points(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, size))


def test_recovers_a_smooth_function():
    x = points(60, 3)
    process = GaussianProcess.fit(x, smooth(x))
    elsewhere = points(200, 3, seed=1)
    mean, deviation = process.posterior(elsewhere)
    assert mean.shape == deviation.shape == (200,)
    error = mean - smooth(elsewhere)
    assert np.sqrt(np.mean(error**2)) < 0.03 * smooth(elsewhere).std()
    assert np.mean(np.abs(error) < 2 * deviation) > 0.85
    first, second, third = process.lengthscales
    assert first < second < third


def test_is_sure_at_the_data_and_unsure_away():
    x = points(20, 2) / 4
    process = GaussianProcess.fit(x, smooth(x))
    near = process.posterior(x)
    far = process.posterior(np.array([[1.0, 1.0]]))
    assert near.deviation.max() < 0.1 * far.deviation[0]
    assert np.allclose(near.mean, smooth(x), atol=0.02)


@pytest.mark.parametrize("deviation", [0.1, 0.5])
def test_recovers_the_noise(deviation):
    x = points(120, 2)
    y = smooth(x) + np.random.default_rng(1).normal(0, deviation, len(x))
    assert GaussianProcess.fit(x, y).noise == pytest.approx(deviation, rel=0.25)


def test_density_is_that_of_the_model():
    x, values = points(5, 2), np.array([-1.0, 0.3, 0.1, 1.2, -0.6])
    lengthscales, variance, noise = np.array([0.4, 1.1]), 1.7, 0.05
    covariance = np.empty((5, 5))
    for i, j in np.ndindex(5, 5):  # equation 4.17 of Rasmussen and Williams, 2006
        r = np.sqrt(5 * (((x[i] - x[j]) / lengthscales) ** 2).sum())
        covariance[i, j] = variance * (1 + r + r**2 / 3) * np.exp(-r) + (i == j) * (noise + JITTER)
    likelihood = multivariate_normal(cov=covariance).logpdf(values)
    prior = sum(
        -((np.log(value / median) / deviation) ** 2) / 2
        for value, median, deviation in
        [(0.4, 0.7, 0.8), (1.1, 0.7, 0.8), (1.7, 1.0, 1.0), (0.05, 0.01, 1.5)]
    )  # fmt: skip
    got, _ = negative_log_density(
        np.log([*lengthscales, variance, noise]), values, (x[:, None] - x[None]) ** 2
    )
    assert -got == pytest.approx(likelihood + 5 / 2 * np.log(2 * np.pi) + prior)


@pytest.mark.parametrize("seed", range(3))
def test_slope_is_that_of_the_density(seed):
    x = points(12, 4)
    task = (np.random.default_rng(seed).normal(size=12), (x[:, None] - x[None]) ** 2)
    at = np.random.default_rng(seed + 9).normal(-0.5, 0.7, 6)
    error = check_grad(
        lambda p: negative_log_density(p, *task)[0], lambda p: negative_log_density(p, *task)[1], at
    )
    assert error < 1e-4


def test_the_parameters_are_the_most_probable_found():
    x = points(25, 3)
    y = smooth(x) + np.random.default_rng(2).normal(0, 0.2, 25)
    process = GaussianProcess.fit(x, y)
    values, apart = (y - y.mean()) / y.std(), (x[:, None] - x[None]) ** 2
    for seed in range(20):
        other = np.random.default_rng(seed).normal(-0.5, 1.0, 5)
        assert -negative_log_density(other, values, apart)[0] <= process.log_density


def test_is_the_same_each_time():
    x = points(15, 2)
    first, second = (GaussianProcess.fit(x, smooth(x), seed=3).posterior(x) for _ in range(2))
    assert np.array_equal(first.mean, second.mean)
    assert np.array_equal(first.deviation, second.deviation)


@pytest.mark.parametrize(("scale", "shift"), [(1e4, 0.0), (1e-3, 7.0), (-2.0, -1.0)])
def test_knows_no_unit_of_the_values(scale, shift):
    x = points(20, 2)
    y = smooth(x) + np.random.default_rng(0).normal(0, 0.1, 20)
    plain, other = GaussianProcess.fit(x, y), GaussianProcess.fit(x, scale * y + shift)
    assert np.allclose(other.lengthscales, plain.lengthscales, rtol=1e-3)
    assert other.noise == pytest.approx(abs(scale) * plain.noise, rel=1e-3)
    want, got = plain.posterior(x), other.posterior(x)
    assert np.allclose(got.mean, scale * want.mean + shift, rtol=1e-3, atol=1e-3 * abs(scale))
    assert np.allclose(got.deviation, abs(scale) * want.deviation, rtol=1e-2)


def test_one_value():
    process = GaussianProcess.fit(np.array([[0.3, 0.3]]), np.array([5.0]))
    mean, deviation = process.posterior(np.array([[0.3, 0.3], [0.9, 0.1]]))
    assert np.allclose(mean, 5.0)
    assert deviation[0] < deviation[1] <= 1.0
    assert np.allclose(process.lengthscales, 0.7, rtol=1e-3)  # the prior's median


@pytest.mark.parametrize("value", [0.0, 0.1, -3e9])
def test_constant_values(value):
    x = points(12, 2)
    mean, deviation = GaussianProcess.fit(x, np.full(12, value)).posterior(points(5, 2, seed=1))
    assert np.allclose(mean, value)
    assert (deviation < 1).all()


def test_repeated_points_are_averaged():
    x = np.repeat([[0.2], [0.8]], 20, axis=0)
    y = np.tile([0.0, 2.0], 20) + np.repeat([0.0, 10.0], 20)
    mean, deviation = GaussianProcess.fit(x, y).posterior(np.array([[0.2], [0.8]]))
    assert mean == pytest.approx([1.0, 11.0], abs=0.1)
    # The standard error: deviation 1 of 20 measurements.
    assert deviation == pytest.approx([0.22, 0.22], abs=0.05)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((2, 3)), np.zeros(3), r"shapes \(2, 3\) and \(3,\)"),
        (np.zeros((0, 3)), np.zeros(0), r"N of 1 or more, got shapes \(0, 3\)"),
        (np.zeros(3), np.zeros(3), r"expected points \[N, D\]"),
        (np.zeros((2, 1)), np.array([0.0, np.nan]), "expected finite .* leave them out"),
    ],
)
def test_refuses(x, y, message):
    with pytest.raises(ValueError, match=message):
        GaussianProcess.fit(x, y)
