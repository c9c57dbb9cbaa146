"""The two landscapes of a deep linear network's weights: the loss, and the equilibrated energy.

Of matrices W_1 .. W_L of any shapes that fit, W_l of N_l x N_{l-1}, with r = y - W_L .. W_1 x,

    loss = (1/2B) sum_i r_i^T r_i,    F* = (1/2B) sum_i r_i^T S^-1 r_i           (thesis eq. 4.5)

This is the form for unequal widths: it walks a list of matrices, so its compile time grows with L.
Weights as one vector are W_1 .. W_L one after the other, each row by row.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

Matrices = Sequence[Float[Array, "out into"]]
"""W_1 .. W_L."""

MOST_WEIGHTS = 3000


class Covariances(NamedTuple):
    """Second moments of a batch, (1/B) sum_i: all that a linear network sees of it.

    Attributes:
        xx: of the inputs.
        yx: of outputs with inputs.
        yy: of the outputs.
    """

    xx: Float[Array, "D D"]
    yx: Float[Array, "K D"]
    yy: Float[Array, "K K"]


def covariances(x: Float[Array, "B D"], y: Float[Array, "B K"]) -> Covariances:
    """The second moments of a batch; no mean is subtracted."""
    return Covariances(x.T @ x / len(x), y.T @ x / len(x), y.T @ y / len(x))


def loss_of(matrices: Matrices, x: Float[Array, "B D"], y: Float[Array, "B K"]) -> Float[Array, ""]:
    """The loss (eq. 4.1)."""
    return 0.5 * jnp.sum(_residual(matrices, x, y) ** 2) / len(x)


def rescaling_of(matrices: Matrices, precisions: Sequence[float] = ()) -> Float[Array, "K K"]:
    """S = I / p_L + sum_{l=1}^{L-1} J_l J_l^T / p_l with J_l = W_L .. W_{l+1}.

    Args:
        matrices: W_1 .. W_L.
        precisions: p_1 .. p_L; none stands for ones.

    Raises:
        ValueError: as many precisions as matrices are needed.
    """
    if precisions and len(precisions) != len(matrices):
        raise ValueError(f"{len(matrices)} layers have as many precisions, got {len(precisions)}")
    *hidden, output = precisions or (1.0,) * len(matrices)
    J = matrices[-1]
    S = jnp.eye(len(J), dtype=J.dtype) / output
    for W, p in zip(reversed(matrices[:-1]), reversed(hidden), strict=True):
        S = S + J @ J.T / p
        J = J @ W
    return S


def equilibrated_energy_of(
    matrices: Matrices,
    x: Float[Array, "B D"],
    y: Float[Array, "B K"],
    precisions: Sequence[float] = (),
) -> Float[Array, ""]:
    """F*, the energy at the equilibrium of inference (eq. 4.5); arguments as in `rescaling_of`."""
    r = _residual(matrices, x, y).T
    factor = jnp.linalg.cholesky(rescaling_of(matrices, precisions))
    return 0.5 * jnp.sum(jax.scipy.linalg.solve_triangular(factor, r, lower=True) ** 2) / len(x)


def weight_hessian(
    objective: Callable[..., Float[Array, ""]],
    matrices: Matrices,
    x: Float[Array, "B D"],
    y: Float[Array, "B K"],
) -> Float[Array, "p p"]:
    """The Hessian of `loss_of`, `equilibrated_energy_of` or the like anywhere, dense.

    By automatic differentiation. At the origin and at zero-rank saddles closed forms need no such
    matrix: see `OriginHessian` and `ZeroRankHessian`.

    Raises:
        ValueError: more than 3000 weights.
    """
    weights, unravel = ravel_pytree(list(matrices))
    require_few(len(weights))
    return jax.hessian(lambda weights: objective(unravel(weights), x, y))(weights)


def require_few(size: int) -> None:
    """Refuse a dense matrix of more than `MOST_WEIGHTS` rows."""
    if size > MOST_WEIGHTS:
        raise ValueError(f"a dense Hessian has at most {MOST_WEIGHTS} rows, got {size}")


def _residual(matrices: Matrices, x: Array, y: Array) -> Float[Array, "B K"]:
    prediction = x
    for W in matrices:
        prediction = prediction @ W.T
    return y - prediction
