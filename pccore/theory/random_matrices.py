"""Random-matrix predictions of the activity Hessian's spectrum at initialisation (thesis C.2.3).

For a linear network with independent weights of variance b_l, H_z = D + O, where D is the block
diagonal. Let s^2 = a^2 b N, the variance that a hidden layer's a W adds to an activity of unit
variance. For large N:

- Without skips D's blocks are 1 + a Marchenko-Pastur law, with edges 1 and 1 + (2 s)^2: 1 and 5
  for s = 1 (eq. C.16).
- O has variance s^2 in each of the two blocks of a row: a semicircle of radius 2 sqrt(2) s at
  large depth. The thesis assumes a dense O, which gives 2 s (eq. C.17), and finds a broader
  empirical spectrum.
- Weyl's inequalities bound H_z by the sums of these edges. The thesis's edges give [-1, 7].

A sharper bound, which is not in the thesis, uses H_z = J^T J, with J = dE/dz of the layers' errors.
J is its mean, I or (with skips) I minus the shift by a layer, plus blocks -a_l W_l, one in every
row and column: at large depth a circular element c. The symmetrised singular values of mean + s c
are the free sum of those of the mean and a semicircle of variance s^2, hence the edges

    z = w + s^2 G(w)   where   1 + s^2 G'(w) = 0,     lambda = z^2

with G(w) = w / (w^2 - 1) for the mean I, and (w^2 - 4)^(-1/2) for the one with skips. For s = 1
without skips, lambda_max = 27/4, which explains why the thesis finds its 7 tight. lambda_min is 0
for s >= 1.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pccore.networks.stacked import NetworkConfig
from pccore.parameterisations import PARAMETERISATIONS


class Edges(NamedTuple):
    """The smallest and the largest eigenvalue."""

    low: float
    high: float

    def shifted(self, by: float) -> "Edges":
        """Return both edges plus `by`."""
        return Edges(self.low + by, self.high + by)


@dataclass(frozen=True)
class MarchenkoPastur:
    """The law of the eigenvalues of W^T W, W with independent entries of mean zero (thesis [94]).

        density(x) = sqrt((high - x) (x - low)) / (2 pi v N x),   edges v (sqrt(M) -+ sqrt(N))^2

    for M, N -> infinity at a constant ratio.

    Attributes:
        rows: M.
        columns: N.
        variance: v, the variance of an entry.
    """

    rows: int
    columns: int
    variance: float

    @property
    def edges(self) -> Edges:
        """The ends of the density. If `atom` is positive, zero is an eigenvalue too."""
        root_rows, root_columns = math.sqrt(self.rows), math.sqrt(self.columns)
        low, high = (root_rows - root_columns) ** 2, (root_rows + root_columns) ** 2
        return Edges(self.variance * low, self.variance * high)

    @property
    def atom(self) -> float:
        """The fraction of eigenvalues that are exactly zero, from the kernel of a wide W."""
        return max(0.0, 1 - self.rows / self.columns)

    def density(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Return the density at x without the atom; its integral is 1 - atom."""
        low, high = self.edges
        inside = (x > low) & (x < high)
        x = jnp.where(inside, x, 0.5 * (low + high))
        height = jnp.sqrt((high - x) * (x - low))
        return jnp.where(inside, height / (2 * math.pi * self.variance * self.columns * x), 0)


@dataclass(frozen=True)
class Semicircle:
    """Wigner's law of a large symmetric matrix with independent entries (thesis [161]).

        density(x) = sqrt(4 v - x^2) / (2 pi v),   edges -+ 2 sqrt(v)

    Attributes:
        variance: v, the sum of the variances of a row's entries.
    """

    variance: float

    @property
    def edges(self) -> Edges:
        """The ends of the density."""
        radius = 2 * math.sqrt(self.variance)
        return Edges(-radius, radius)

    def density(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Return the density at x."""
        height = jnp.sqrt(jnp.maximum(4 * self.variance - x**2, 0))
        return height / (2 * math.pi * self.variance)


def initial_variance(config: NetworkConfig) -> float:
    """Return b_l of the layers above the first, whose fan-in is N (table 5.1).

    Raises:
        ValueError: the initial weights are not independent, their standard deviation differs by
            layer, or they come from an `initial_range`.
    """
    if isinstance(config.initial_std, tuple):
        raise ValueError(f"predictions need one initial_std, got {config.initial_std}")
    if config.initial_range is not None:
        raise ValueError(
            f"predictions need weights of mean zero, got initial_range {config.initial_range}"
        )
    if config.initial_std is not None:
        return config.initial_std**2
    variance = PARAMETERISATIONS[config.parameterisation].variance(config.width)
    if variance is None:
        raise ValueError(
            "predictions need independent weights, got parameterisation "
            f"{config.parameterisation!r}"
        )
    return variance


def wishart(config: NetworkConfig, *, last: bool = False) -> MarchenkoPastur:
    """Return the law of a_l^2 W_l^T W_l for a hidden layer, or for the last one.

    Without skips the blocks of D are 1 + activity decay + this (eq. C.15).

    Raises:
        ValueError: as for `weyl_bounds`.
    """
    _require_applicable(config)
    a, b = config.scalings, initial_variance(config)
    rows, scale = (config.output_size, a.last) if last else (config.width, a.hidden)
    return MarchenkoPastur(rows, config.width, scale**2 * b)


def diagonal_edges(config: NetworkConfig) -> Edges:
    """Return the edges of D, the activity Hessian's block diagonal (eqs. C.15, C.16).

    With skips a hidden layer's block is I + (I + a W)^T (I + a W), with the edges of the free sum.

    Raises:
        ValueError: as for `weyl_bounds`.
    """
    output = wishart(config, last=True)
    blocks = [Edges(0.0 if output.atom else output.edges.low, output.edges.high)]
    if config.depth > 1:
        hidden = wishart(config).edges
        blocks.append(_around_identity(_noise(config)) if config.residual else hidden)
    low, high = min(block.low for block in blocks), max(block.high for block in blocks)
    return Edges(low, high).shifted(1 + config.activity_decay)


def off_diagonal(config: NetworkConfig, *, dense: bool = False) -> Semicircle:
    """Return the law of O's random part, the blocks -a_l W_l off the activity Hessian's diagonal.

    It is exact for two hidden layers and at large depth, and broader than the spectrum in between.

    Args:
        config: the network.
        dense: assume a dense O, as the thesis does (eq. C.17): too narrow by sqrt(2) for more than
            two hidden layers.

    Raises:
        ValueError: as for `weyl_bounds`, or there is one hidden layer, so that O is zero.
    """
    if config.depth == 1:
        raise ValueError("off-diagonal blocks of an activity Hessian need depth 2, got depth 1")
    blocks = 1 if dense or config.depth == 2 else 2
    return Semicircle(blocks * _noise(config) ** 2)


def weyl_bounds(config: NetworkConfig, *, dense: bool = False) -> Edges:
    """Return Weyl's bounds on the eigenvalues of H_z: the edges of D plus those of O (C.2.3).

    The lower bound may be negative, although H_z is positive definite (C.2.2), with eigenvalues
    above the activity decay. With skips O also has -I next to the diagonal, of norm
    2 cos(pi / (H + 1)).

    Args:
        config: a linear network at initialisation. The bounds hold up to fluctuations of order
            N^(-2/3).
        dense: as in `off_diagonal`; gives [-1, 7] for a deep SP or muPC network without skips.

    Raises:
        ValueError: the activation is not "linear", the output energy is not "mse", there are
            precisions or skips over several layers, or the weights are not independent.
    """
    diagonal = diagonal_edges(config)
    if config.depth == 1:
        return diagonal
    reach = off_diagonal(config, dense=dense).edges.high
    if config.residual:
        reach += 2 * math.cos(math.pi / (config.depth + 1))
    return Edges(diagonal.low - reach, diagonal.high + reach)


def deep_edges(config: NetworkConfig) -> Edges:
    """Return the edges of H_z as N -> infinity, then H -> infinity; not in the thesis.

    The module's docstring has the derivation. Finite networks stay within the edges, up to
    fluctuations. The output layer is left out: it can push at most K eigenvalues above, which
    matters if a_L^2 W_L^T W_L is large, as under NTP.

    Raises:
        ValueError: as for `weyl_bounds`.
    """
    edges = (_around_shift if config.residual else _around_identity)(_noise(config))
    return edges.shifted(config.activity_decay)


def _noise(config: NetworkConfig) -> float:
    """Return s = a sqrt(b N) of a hidden layer."""
    return math.sqrt(wishart(config).variance * config.width)


def _around_identity(s: float) -> Edges:
    """Return the edges for I + s c, where 1 + s^2 G' = 0 is a quadratic equation in w^2."""
    root = s * math.sqrt(s**2 + 8)

    def edge(square: float) -> float:
        return square * (1 + s**2 / (square - 1)) ** 2

    low = edge((2 + s**2 - root) / 2) if s < 1 else 0.0
    return Edges(low, edge((2 + s**2 + root) / 2))


def _around_shift(s: float) -> Edges:
    """Return the edges for I - shift + s c, from a cubic equation in t = w^2 - 4."""
    t = max(root.real for root in np.roots([1, 0, -(s**4), -4 * s**4]) if abs(root.imag) < 1e-9)
    return Edges(0.0, float((math.sqrt(t + 4) + s**2 / math.sqrt(t)) ** 2))


def _require_applicable(config: NetworkConfig) -> None:
    needs = {"activation": "linear", "output": "mse", "precisions": (), "skip": 1}
    for key, needed in needs.items():
        if (value := getattr(config, key)) != needed:
            raise ValueError(f"random-matrix predictions need {key} {needed!r}, got {value!r}")
