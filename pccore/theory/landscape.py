"""The two landscapes of a deep linear network's weights: the loss and the equilibrated energy.

For matrices W_1 .. W_L, W_l of N_l x N_{l-1}, with r = y - W_L .. W_1 x,

    loss = (1/2B) sum_i r_i^T r_i,    F* = (1/2B) sum_i r_i^T S^-1 r_i           (thesis eq. 4.5)

Widths may differ. The functions loop over a list of matrices, so compile time grows with L.
A vector of weights has W_1 .. W_L one after the other, each row by row.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from pccore.linalg.lapack import MOST_WEIGHTS

Matrices = Sequence[Float[Array, "_out _into"]]
"""W_1 .. W_L."""


class Covariances(NamedTuple):
    """Second moments of a batch, (1/B) sum_i, on which a linear network's landscapes depend.

    Attributes:
        xx: (1/B) sum_i x_i x_i^T.
        yx: (1/B) sum_i y_i x_i^T.
        yy: (1/B) sum_i y_i y_i^T.
    """

    xx: Float[Array, "D D"]
    yx: Float[Array, "K D"]
    yy: Float[Array, "K K"]


def covariances(x: Float[Array, "B D"], y: Float[Array, "B K"]) -> Covariances:
    """Return the second moments of a batch; no mean is subtracted."""
    return Covariances(x.T @ x / len(x), y.T @ x / len(x), y.T @ y / len(x))


def loss_of(matrices: Matrices, x: Float[Array, "B D"], y: Float[Array, "B K"]) -> Float[Array, ""]:
    """Return the loss (eq. 4.1)."""
    return 0.5 * jnp.sum(_residual(matrices, x, y) ** 2) / len(x)


def rescaling_of(matrices: Matrices, precisions: Sequence[float] = ()) -> Float[Array, "K K"]:
    """Return S = I / p_L + sum_{l=1}^{L-1} J_l J_l^T / p_l, J_l = W_L .. W_{l+1}.

    Args:
        matrices: W_1 .. W_L.
        precisions: p_1 .. p_L; empty means ones.

    Raises:
        ValueError: the number of precisions is not that of matrices.
    """
    if precisions and len(precisions) != len(matrices):
        n = len(matrices)
        raise ValueError(f"{n} layers need {n} precisions, got {len(precisions)}")
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
    """Return F*, the energy at the equilibrium of inference (eq. 4.5).

    Args:
        matrices: W_1 .. W_L.
        x: inputs.
        y: targets.
        precisions: as in `rescaling_of`.
    """
    r = _residual(matrices, x, y).T
    factor = jnp.linalg.cholesky(rescaling_of(matrices, precisions))
    return 0.5 * jnp.sum(jax.scipy.linalg.solve_triangular(factor, r, lower=True) ** 2) / len(x)


def weight_hessian(
    objective: Callable[..., Float[Array, ""]],
    matrices: Matrices,
    x: Float[Array, "B D"],
    y: Float[Array, "B K"],
) -> Float[Array, "p p"]:
    """Return the dense Hessian of an objective by automatic differentiation.

    At the origin and at zero-rank saddles, `OriginHessian` and `ZeroRankHessian` have closed forms
    without a dense matrix.

    Args:
        objective: `loss_of`, `equilibrated_energy_of` or another function of the same arguments.
        matrices: W_1 .. W_L, the point of the Hessian.
        x: inputs.
        y: targets.

    Raises:
        ValueError: there are more than 3000 weights.
    """
    weights, unravel = ravel_pytree(list(matrices))
    require_few(len(weights))
    return jax.hessian(lambda weights: objective(unravel(weights), x, y))(weights)


def require_few(size: int) -> None:
    """Raise `ValueError` for a dense matrix of more than `MOST_WEIGHTS` rows."""
    if size > MOST_WEIGHTS:
        raise ValueError(f"a dense Hessian may have at most {MOST_WEIGHTS} rows, got {size}")


def _residual(matrices: Matrices, x: Array, y: Array) -> Float[Array, "B K"]:
    prediction = x
    for W in matrices:
        prediction = prediction @ W.T
    return y - prediction
