"""The Gaussian process of the judge against direct conditioning, and its parts against SciPy."""

from dataclasses import replace

import numpy as np
import pytest
from numpy import ndarray
from scipy import linalg, special, stats

from results.landscape import Cell, Landscape
from transfer.judge.observations import (
    Observations,
    floor_of,
    searched_rates,
    without_seeds,
)
from transfer.judge.surface import (
    AMPLITUDES,
    MEAN_VARIANCE,
    NOISE_QUANTILES,
    Kernel,
    Posterior,
    _noise_factors,
    centred,
    kernels,
)

RATES = ("weight_lr", "activity_lr")
TUNED = tuple(Cell(2.0**i, 2.0**j) for i in range(3) for j in range(3))
TARGET = tuple(Cell(2.0**i, 2.0**j) for i in (0, 1) for j in (0, 2))


def observations(cells: tuple[Cell, ...], seed: int, seeds: int = 3) -> Observations:
    draw = np.random.default_rng(seed)
    logs = 0.1 * draw.normal(size=(len(cells), 1)) + 0.05 * draw.normal(size=(len(cells), seeds))
    return Observations.of(Landscape.of_losses(cells, np.exp(logs)), RATES)


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return Posterior.of(observations(TUNED, 0), observations(TARGET, 1))


def prior(model: Posterior, place: int) -> tuple[ndarray, ndarray]:
    """Return the covariance of all surfaces and that of all observed means, entry by entry."""
    h = model.combinations[place]
    points = np.concatenate([model.tuned.points, model.target.points])
    shape = [0] * len(model.tuned.points) + [1] * len(model.target.points)
    surfaces = np.empty((len(points), len(points)))
    for i, x in enumerate(points):
        for j, y in enumerate(points):
            scale = h.amplitude**2 * h.steepness ** (shape[i] + shape[j])
            rho = 1.0 if shape[i] == shape[j] else h.correlation
            surfaces[i, j] = scale * rho * h.kernel(x[None], y[None])[0, 0]
    same = np.equal.outer(shape, shape)
    noise = model.variances * np.where(shape, h.noise, 1.0)
    return surfaces, surfaces + MEAN_VARIANCE * same + np.diag(noise)


def values(model: Posterior) -> ndarray:
    return np.concatenate([centred(model.tuned.means), centred(model.target.means)])


def test_weights_are_those_of_the_joint_density(posterior: Posterior) -> None:
    """The two stages, tuned shape and target, make one normal density of all means."""
    order = np.argsort(-posterior.weights)
    places = [*order[:5], *order[200:205]]
    weight = dict(zip(NOISE_QUANTILES, (0.16, 0.68, 0.16), strict=True))
    factors = _noise_factors(posterior.target.dof + 4)
    logs = []
    for place in places:
        _, observed = prior(posterior, place)
        density = stats.multivariate_normal(np.zeros(len(observed)), observed)
        quantile = NOISE_QUANTILES[factors.index(posterior.combinations[place].noise)]
        logs.append(density.logpdf(values(posterior)) + np.log(weight[quantile]))
    found = np.log(posterior.weights[places])
    np.testing.assert_allclose(found - found[0], np.array(logs) - logs[0], atol=1e-6)


def test_surface_is_the_conditional_distribution(posterior: Posterior) -> None:
    """Conditioning one large normal vector on the observed means, by the textbook formula."""
    place = int(posterior.weights.argmax())
    surfaces, observed = prior(posterior, place)
    count = len(posterior.tuned.points)
    gain = linalg.solve(observed, surfaces[:, count:]).T
    shape = np.ones(len(posterior.target.points), int)
    mean, factor = posterior.at(place, posterior.target.points, shape)
    np.testing.assert_allclose(mean, gain @ values(posterior), atol=1e-8)
    exact = surfaces[count:, count:] - gain @ surfaces[:, count:]
    np.testing.assert_allclose(factor @ factor.T, exact, atol=1e-5)


def test_draws_at_the_cells_do_not_depend_on_other_points(posterior: Posterior) -> None:
    alone = posterior.draw()
    more = posterior.draw(posterior.tuned.points, posterior.target.points + 0.5)
    np.testing.assert_allclose(more[:, : alone.shape[1]], alone, atol=1e-8)


def test_draws_have_the_moments_of_the_mixture(posterior: Posterior) -> None:
    """Differences of cells: of 1,200 draws, means within five standard errors."""
    draws = posterior.draw()
    shape = np.ones(len(posterior.target.points), int)
    means = [
        posterior.at(int(place), posterior.target.points, shape)[0]
        for place in np.argsort(-posterior.weights)[:400]
    ]
    weights = np.sort(posterior.weights)[::-1][:400]
    expected = np.average(means, axis=0, weights=weights)
    away = draws - draws.mean(axis=1, keepdims=True)
    error = away.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(away.mean(axis=0) - (expected - expected.mean())) < 8 * error + 0.01).all()


def test_kept_hyperparameters_have_their_share_of_the_weight(posterior: Posterior) -> None:
    """They are the fewest that hold 99.8% of the evidence of the tuned means, by its density."""
    points, count = posterior.tuned.points, len(posterior.tuned.points)
    noise = MEAN_VARIANCE + np.diag(posterior.variances[:count])
    logs = [
        stats.multivariate_normal(np.zeros(count), a**2 * kernel(points, points) + noise).logpdf(
            centred(posterior.tuned.means)
        )
        for kernel in kernels(2)
        for a in AMPLITUDES
    ]
    shares = np.cumsum(np.sort(np.exp(np.array(logs) - max(logs)))[::-1])
    kept = len(posterior.combinations) // (3 * 5 * 3)  # correlations, steepness, noise
    assert kept > 40
    assert shares[kept - 2] < 0.998 * shares[-1] <= shares[kept - 1]


@pytest.mark.parametrize("smooth", [True, False])
def test_kernels_are_the_textbook_ones(smooth: bool) -> None:
    """Squared exponential, and Matern of order 5/2 by its Bessel function."""
    r = np.hypot(1 / 2, 3 / 4)
    at = np.sqrt(5) * r
    matern = 2**-1.5 / special.gamma(2.5) * at**2.5 * special.kv(2.5, at)
    found = Kernel(None, (2.0, 4.0), smooth)(np.zeros((1, 2)), np.array([[1.0, 3.0]]))
    np.testing.assert_allclose(found, np.exp(-(r**2) / 2) if smooth else matern)


@pytest.mark.parametrize("kernel", kernels(2), ids=str)
def test_kernel_is_a_correlation(kernel: Kernel) -> None:
    points = np.random.default_rng(0).normal(size=(8, 2)) * 3
    found = kernel(points, points)
    np.testing.assert_allclose(np.diag(found), 1)
    assert np.linalg.eigvalsh(found).min() > -1e-10
    if kernel.rotated:  # along eta beta, the first length counts
        along = kernel(np.zeros((1, 2)), np.array([[1.0, 1.0]]) / np.sqrt(2))
        straight = Kernel(None, kernel.lengths, kernel.smooth)
        np.testing.assert_allclose(along, straight(np.zeros((1, 2)), np.array([[1.0, 0.0]])))


def test_every_kernel_is_there_once() -> None:
    """Nine pairs of lengths; the six of different lengths also turned; two kinds of each."""
    assert len(kernels(2)) == len(set(kernels(2))) == (9 + 6) * 2
    assert len(kernels(1)) == 3 * 2


@pytest.mark.parametrize("dof", [4, 8, 20, 60])
def test_noise_factors_are_quantiles_of_chi_squared(dof: int) -> None:
    exact = dof / stats.chi2(dof).ppf(1 - np.array(NOISE_QUANTILES))
    np.testing.assert_allclose(_noise_factors(dof), exact, rtol=0.03)


def test_without_seeds_is_the_least_squares_fit_of_cell_and_seed() -> None:
    """An incomplete table against a design matrix with a column for each cell and each seed."""
    draw = np.random.default_rng(0)
    logs = draw.normal(size=(5, 4))
    logs[0, 1] = logs[2, 3] = logs[4, 0] = np.nan
    rows = np.argwhere(np.isfinite(logs))
    design = np.zeros((len(rows), 9))
    for row, (cell, seed) in enumerate(rows):
        design[row, [cell, 5 + seed]] = 1
    solution = np.linalg.lstsq(design, logs[np.isfinite(logs)], rcond=None)[0]
    means, residuals = without_seeds(logs)
    np.testing.assert_allclose(means, solution[:5] + solution[5:].mean())
    fitted = logs[np.isfinite(logs)] - design @ solution
    np.testing.assert_allclose(residuals[np.isfinite(logs)], fitted, atol=1e-12)


def test_shift_of_a_seed_is_no_noise() -> None:
    """Seeds that shift all cells alike leave no residual."""
    logs = np.arange(9.0)[:, None] + np.array([0.0, 1.0, -3.0])
    found = Observations.of(Landscape.of_losses(TUNED, np.exp(logs)), RATES)
    np.testing.assert_allclose(found.squares, 0, atol=1e-20)
    assert found.dof == 27 - 9 - 2
    assert found.variance(0.1) == pytest.approx(4 * 0.1**2 / (16 + 4))


def test_variance_of_a_cell_is_between_its_own_and_the_pooled_one() -> None:
    """The pooled variance counts for 8 degrees of freedom, the cell's own for its seeds less one.

    Seed effects that were fitted take a share 1 / S of the squares.
    """
    cells, logs = TUNED[:2], [[0.0, 0.2, 0.4], [0.0, 0.0, np.nan]]
    found = Observations.of(Landscape.of_losses(cells, np.exp(logs)), RATES, keep=1)
    found = replace(found, squares=np.array([0.06, 0.04]))
    expected = [(8 * 0.1 + 1.5 * 0.06) / (8 + 2) / 3, (8 * 0.1 + 1.5 * 0.04) / (8 + 1) / 2]
    np.testing.assert_allclose(found.cell_variances(0.1), expected)
    alone = Observations.of(Landscape.of_losses(cells, np.ones((2, 1))), RATES)
    np.testing.assert_allclose(alone.cell_variances(0.1), 0.1)


def test_pooled_noise_is_that_of_the_runs() -> None:
    """40 x 8 runs of noise 0.2: the pooled deviation is within 12% of it, as 99.9% are."""
    cells = tuple(Cell(2.0**i, 2.0**j) for i in range(8) for j in range(5))
    draw = np.random.default_rng(1)
    logs = draw.normal(size=(40, 1)) + 0.2 * draw.normal(size=(40, 8)) + draw.normal(size=8)
    found = Observations.of(Landscape.of_losses(cells, np.exp(logs)), RATES)
    assert found.variance(0.2) ** 0.5 == pytest.approx(0.2, rel=0.12)


def test_searched_rates_have_several_values() -> None:
    cells = (Cell(0.1, 1.0), Cell(0.2, 1.0))
    assert searched_rates(Landscape.of_losses(cells, np.ones((2, 2)))) == ("weight_lr",)


def test_floor_counts_below_a_millionth_of_the_untrained_loss() -> None:
    usual, tiny = (Landscape.of_losses(TUNED[:2], np.full((2, 2), loss)) for loss in (0.1, 1e-8))
    assert floor_of(usual, tiny, untrained=None) == 0
    assert floor_of(usual, untrained=2.0) == 0
    assert floor_of(usual, tiny, untrained=2.0) == 2e-6
