"""A Gaussian process over the log losses of the tuned shape and the target: its posterior draws.

    mean log loss of cell x at shape t = mu_t + f_t(x) + noise,        t = 0 (tuned), 1 (target)
    cov(f_t(x), f_u(y)) = a_t a_u rho^[t != u] s^2 k(|R (x - y) / l|),  a_0 = 1

x holds log2 of the searched rates. The hyperparameters are averaged over a grid and not maximised:
a handful of cells does not determine them, and the most likely ones claim too much. The grid holds
the cases that differ for a verdict: flat landscapes (small s), ridges (R turns the axes of two
rates by 45 degrees, such as eta and beta to eta beta and eta / beta), shapes with nothing in common
(rho = 0), and a target steeper or flatter than the tuned shape (a_1). docs/verdicts.md has the
reasons and the measurements.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, wraps
from itertools import combinations, product
from statistics import NormalDist
from typing import ParamSpec, Self, TypeVar

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from threadpoolctl import ThreadpoolController

from transfer.judge.observations import NOISIER, PRIOR_DOF, PRIOR_NOISE, Observations

LENGTHS = (1.5, 4.0, 12.0)  # octaves
AMPLITUDES = (0.005, 0.02, 0.07, 0.25, 0.8, 2.5)  # of a log loss
CORRELATIONS = (0.0, 0.8, 0.97)
STEEPNESS = (0.15, 0.5, 1.0, 2.5, 8.0)
NOISE_QUANTILES, NOISE_WEIGHTS = (0.08, 0.5, 0.92), (0.16, 0.68, 0.16)
MEAN_VARIANCE = 25.0
"""The variance of mu_t, the level of the log loss."""

KEPT, FEWEST = 0.998, 40
"""Of the hyperparameters of the tuned shape, those with this share of the weight are combined with
those of the target, and at least `FEWEST`."""
COMBINATIONS, DRAWS = 24, 50
"""Hyperparameters that are drawn by their weight, and the draws of the surfaces for each."""
JITTER = 1e-7

MOST_TURNED, SPARSE = 3, 5
"""Numbers of rates up to which pairs of them are turned, and from which on lengths are fewer."""


P = ParamSpec("P")
T = TypeVar("T")


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def on_one_thread(function: Callable[P, T]) -> Callable[P, T]:
    """Have BLAS use one thread: matrices of 40 rows gain nothing from more, which wait spinning.

    Beside workers that keep the cores busy, two threads took seven times the processor time.
    """

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        with _libraries().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited


@dataclass(frozen=True)
class Kernel:
    """A correlation of the log losses of two cells.

    Attributes:
        rotated: the two axes in whose place are their product and their ratio, such as eta beta and
            eta / beta; None where the axes are the rates.
        lengths: the distance over which the loss changes along each axis, in octaves.
        smooth: squared exponential rather than Matern-5/2.
    """

    rotated: tuple[int, int] | None
    lengths: tuple[float, ...]
    smooth: bool

    def __call__(self, x: Float[ndarray, "n D"], y: Float[ndarray, "m D"]) -> ndarray:
        """Return the correlations (n, m)."""
        if self.rotated is not None:
            turn = np.eye(len(self.lengths))
            turn[np.ix_(self.rotated, self.rotated)] = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
            x, y = x @ turn, y @ turn
        squares = np.zeros((len(x), len(y)))
        for axis, length in enumerate(self.lengths):
            squares += ((x[:, None, axis] - y[None, :, axis]) / length) ** 2
        if self.smooth:
            return np.exp(-squares / 2)
        r = np.sqrt(5 * squares)
        return (1 + r + r**2 / 3) * np.exp(-r)


@cache
def kernels(axes: int) -> tuple[Kernel, ...]:
    """Return the kernels for this number of searched rates, each once.

    Every pair of up to `MOST_TURNED` rates may be turned. Beyond, time and memory would grow with
    the number of pairs; and from `SPARSE` rates on, with the powers of three.
    """
    found = []
    lengths_of_axes = LENGTHS if axes < SPARSE else (LENGTHS[0], LENGTHS[-1])
    pairs = list(combinations(range(axes), 2)) if axes <= MOST_TURNED else []
    for lengths in product(lengths_of_axes, repeat=axes):
        turns = [None, *(pair for pair in pairs if lengths[pair[0]] != lengths[pair[1]])]
        found += [Kernel(turn, lengths, smooth) for turn in turns for smooth in (False, True)]
    return tuple(found)


@dataclass(frozen=True)
class Hyperparameters:
    """One combination: its kernel, amplitude s, rho, a_1, and a factor on the target's noise."""

    kernel: Kernel
    amplitude: float
    correlation: float
    steepness: float
    noise: float


@dataclass(frozen=True)
class Posterior:
    """The posterior distribution of the surfaces of two shapes.

    Attributes:
        tuned: the cells of the tuned shape.
        target: the cells of the target.
        variances: of the means of all cells, those of the tuned shape first (n,).
        combinations: hyperparameters.
        weights: their posterior weights, which sum to 1.
    """

    tuned: Observations
    target: Observations
    variances: Float[ndarray, " n"]
    combinations: tuple[Hyperparameters, ...]
    weights: Float[ndarray, " h"]

    @classmethod
    @on_one_thread
    def of(cls, tuned: Observations, target: Observations) -> Self:
        """Return the posterior distribution given the cells that trained."""
        pooled = tuned.variance(PRIOR_NOISE)
        at_target = target.variance(NOISIER * np.sqrt(pooled))
        noise = tuned.cell_variances(pooled), target.cell_variances(at_target)
        factors = _noise_factors(target.dof + PRIOR_DOF)
        shared = len(tuned.points) > 0
        relations = list(product(CORRELATIONS, STEEPNESS) if shared else [(0.0, 1.0)])
        priors, evidence, explained, expected = _by_tuned_shape(tuned, target, noise[0])
        combinations, logs = [], []
        for place, (kernel, amplitude) in enumerate(priors):
            own = amplitude**2 * kernel(target.points, target.points)
            found = _evidence_of_target(
                own, explained[place], expected[place], target.means, noise[1], relations, factors
            )
            logs.append(evidence[place] + found)
            combinations += [
                Hyperparameters(kernel, amplitude, *relation, factor)
                for relation in relations
                for factor in factors
            ]
        flat = np.concatenate(logs)
        weights = np.exp(flat - flat.max())
        return cls(
            tuned, target, np.concatenate(noise), tuple(combinations), weights / weights.sum()
        )

    @cached_property
    def _chosen(self) -> Int[ndarray, " k"]:
        """Indices of `COMBINATIONS` hyperparameters, drawn by weight at even distances."""
        start = np.random.default_rng(0).random()
        places = (np.arange(COMBINATIONS) + start) / COMBINATIONS
        return np.minimum(np.searchsorted(np.cumsum(self.weights), places), len(self.weights) - 1)

    @on_one_thread
    def draw(
        self,
        tuned: Float[ndarray, "n D"] | None = None,
        target: Float[ndarray, "m D"] | None = None,
        seed: int = 0,
    ) -> Float[ndarray, "R points"]:
        """Draw the surfaces at the target's cells, then at points of the two shapes.

        The same posterior distribution gives the same draws, and those at the cells do not depend
        on the points. The surfaces of a shape are known up to a constant.

        Args:
            tuned: points of the tuned shape, log2 of rates; none by default.
            target: points of the target.
            seed: draws of several posterior distributions are independent at different seeds.
        """
        cells = self.target.points
        points = np.concatenate([cells, *(p for p in (tuned, target) if p is not None)])
        shape = np.ones(len(points), int)
        shape[len(cells) : len(cells) + (0 if tuned is None else len(tuned))] = 0
        sizes = (len(cells), len(points) - len(cells))
        normal = np.concatenate(
            [
                np.random.default_rng([seed, part]).standard_normal((COMBINATIONS, size, DRAWS))
                for part, size in enumerate(sizes)
            ],
            axis=1,
        )
        draws = np.empty((COMBINATIONS, DRAWS, len(points)))
        for place, index in enumerate(self._chosen):
            if place == 0 or index != self._chosen[place - 1]:
                mean, factor = self.at(int(index), points, shape)
            draws[place] = (mean[:, None] + factor @ normal[place]).T
        flat = draws.reshape(COMBINATIONS * DRAWS, -1)
        return np.random.default_rng(seed).permutation(flat)

    def at(
        self, place: int, points: Float[ndarray, "n D"], shape: Int[ndarray, " n"]
    ) -> tuple[Float[ndarray, " n"], Float[ndarray, "n n"]]:
        """Return the mean of the surfaces at points, and a lower factor of their covariance.

        Args:
            place: the index of the hyperparameters.
            points: log2 of rates.
            shape: the shape of each point: 0 tuned, 1 target.
        """
        prior, data = self.combinations[place], len(self.variances)
        shapes = np.repeat([0, 1], [len(self.tuned.points), len(self.target.points)])
        shapes = np.concatenate([shapes, shape])
        everything = np.concatenate([self.tuned.points, self.target.points, points])
        scale = prior.amplitude * np.where(shapes, prior.steepness, 1.0)
        same = shapes[:, None] == shapes
        covariance = prior.kernel(everything, everything) * np.where(same, 1.0, prior.correlation)
        covariance *= scale[:, None] * scale
        noise = self.variances * np.where(shapes[:data], prior.noise, 1.0)
        observed = covariance[:data, :data] + MEAN_VARIANCE * same[:data, :data] + np.diag(noise)
        values = np.concatenate([centred(self.tuned.means), centred(self.target.means)])
        root = np.linalg.cholesky(observed)
        right = np.linalg.solve(root, np.column_stack([covariance[:data, data:], values]))
        cross, whitened = right[:, :-1], right[:, -1]
        left = covariance[data:, data:] - cross.T @ cross
        left[np.diag_indices_from(left)] += JITTER * scale[data:] ** 2
        return cross.T @ whitened, np.linalg.cholesky(left)


def centred(values: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Return the values less their mean."""
    return values - values.mean() if len(values) else values


def _noise_factors(dof: int) -> tuple[float, ...]:
    """Return factors on a pooled variance that it may be off by, quantiles of dof / chi2(dof).

    chi2 has Wilson and Hilferty's approximation, within 2% from four degrees of freedom on.
    """
    narrow = 2 / (9 * dof)
    return tuple(
        (1 - narrow + NormalDist().inv_cdf(1 - quantile) * narrow**0.5) ** -3
        for quantile in NOISE_QUANTILES
    )


def _by_tuned_shape(
    tuned: Observations, target: Observations, noise: ndarray
) -> tuple[list[tuple[Kernel, float]], ndarray, ndarray, ndarray]:
    """Return kernels and amplitudes that the tuned shape leaves possible (p), and what they imply.

    Returns:
        kernels and amplitudes; the log evidence of the tuned shape (p,); the covariance at the
        target's cells that it explains at rho = a_1 = 1 (p, m, m), and the mean (p, m).
    """
    priors = list(product(kernels(tuned.points.shape[1]), AMPLITUDES))
    squares = np.array(AMPLITUDES)[:, None, None] ** 2

    def covariances(x: ndarray, y: ndarray) -> ndarray:
        each = [squares * kernel(x, y) for kernel in kernels(tuned.points.shape[1])]
        return np.concatenate(each)

    if not len(tuned.points):
        m = len(target.points)
        return (
            priors,
            np.zeros(len(priors)),
            np.zeros((len(priors), m, m)),
            np.zeros((len(priors), m)),
        )
    values = centred(tuned.means)
    own = covariances(tuned.points, tuned.points) + MEAN_VARIANCE + np.diag(noise)
    evidence = _log_density(values, own)
    kept = np.argsort(-evidence, kind="stable")
    weights = np.exp(evidence[kept] - evidence.max())
    enough = int(np.searchsorted(np.cumsum(weights), KEPT * weights.sum())) + 1
    kept = kept[: max(FEWEST, enough)]
    cross = covariances(tuned.points, target.points)[kept]
    solved = np.linalg.solve(own[kept], cross)
    explained = np.swapaxes(cross, 1, 2) @ solved
    return [priors[place] for place in kept], evidence[kept], explained, values @ solved


def _evidence_of_target(
    own: ndarray,
    explained: ndarray,
    expected: ndarray,
    means: ndarray,
    noise: ndarray,
    relations: Sequence[tuple[float, float]],
    factors: tuple[float, ...],
) -> ndarray:
    """Return the log evidence of the target given the tuned shape, and the prior of the noise.

    For each relation with each factor on the noise (c,).

    Args:
        own: the prior covariance of the target's cells at a_1 = 1 (m, m).
        explained: what the tuned shape explains of it at rho = 1 (m, m).
        expected: the mean that the tuned shape implies at rho = a_1 = 1 (m,).
        means: mean log losses of the cells (m,).
        noise: their variances (m,).
        relations: rho and a_1 of the two shapes.
        factors: factors on these.
    """
    rho, a = np.repeat(np.array(relations), len(factors), axis=0).T
    factor = np.tile(factors, len(relations))
    left = own - rho[:, None, None] ** 2 * explained
    covariance = a[:, None, None] ** 2 * left + MEAN_VARIANCE
    covariance = covariance + factor[:, None, None] * np.diag(noise)
    away = centred(means) - (a * rho)[:, None] * expected
    priors = np.tile(np.log(NOISE_WEIGHTS), len(relations))
    return _log_density(away, covariance) + priors


def _log_density(values: ndarray, covariances: ndarray) -> ndarray:
    """Return the log densities of centred normal distributions (h,), up to a constant.

    Args:
        values: one vector for all (n,), or one for each (h, n).
        covariances: (h, n, n).
    """
    roots = np.linalg.cholesky(covariances)
    each = np.broadcast_to(values, covariances.shape[:2])[..., None]
    whitened = np.linalg.solve(roots, each)[..., 0]
    logs = np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
    return -0.5 * (whitened**2).sum(axis=1) - logs
