"""Extreme eigenvalues of a symmetric operator by Lanczos' method, from its products alone.

k products span a Krylov space; the eigenvalues of the operator's projection on it, T_k, are the
Ritz values. For a Ritz pair (theta, v), with v = V_k s and beta_k the norm of the next vector,

    ||A v - theta v|| = beta_k |s_k|        (Parlett, The Symmetric Eigenvalue Problem, 13.2)

and some eigenvalue lies within this distance of theta. All vectors are kept and orthogonalised
against each other, twice: in floating point the bound holds only between orthogonal vectors.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from pccore.linalg import lapack

STRIDE = 8  # steps between two looks at the Ritz values, each of which costs steps^3


class Extremes(NamedTuple):
    """The outermost Ritz values, which lie within the spectrum.

    Attributes:
        low: the lowest, never below the smallest eigenvalue but for rounding.
        high: the highest, never above the largest.
        low_error: an eigenvalue is within this distance of `low`, but for rounding.
        high_error: likewise of `high`.
        steps: products that were taken.
    """

    low: Float[Array, ""]
    high: Float[Array, ""]
    low_error: Float[Array, ""]
    high_error: Float[Array, ""]
    steps: Int[Array, ""]

    @property
    def magnitude(self) -> Float[Array, ""]:
        """The largest magnitude of an eigenvalue."""
        return jnp.maximum(self.high, -self.low)


class _Krylov(NamedTuple):
    """V_k and T_k, with zeros where they have not been computed yet."""

    vectors: Float[Array, "steps+1 n"]
    diagonal: Float[Array, " steps"]
    beside: Float[Array, " steps"]
    size: Int[Array, ""]


def lanczos(
    product: Callable[[Any], Any], like: Any, *, steps: int = 128, tolerance: float = 1e-3
) -> Extremes:
    """The extreme eigenvalues of a symmetric operator.

    Ends when the Ritz value of largest magnitude is known to `tolerance`, or after `steps`
    products. Values converge with the square of their error where eigenvalues are apart; within
    a dense edge of the spectrum, by about (log n / steps)^2 of its extent.

    Args:
        product: v -> A v, for arrays or pytrees of them.
        like: a vector's structure, shapes and dtype; its values play no part.
        steps: the most products; memory is that of so many vectors.
        tolerance: error bound relative to the value.

    Raises:
        ValueError: fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    flat, unravel = ravel_pytree(like)
    steps = min(steps, flat.size)

    def operator(vector: Array) -> Array:
        return ravel_pytree(product(unravel(vector)))[0]

    def unfinished(state: tuple[_Krylov, Extremes]) -> Array:
        _, found = state
        high_leads = found.high >= -found.low
        error = jnp.where(high_leads, found.high_error, found.low_error)
        return (found.steps < steps) & ~(error <= tolerance * found.magnitude)

    def extend(state: tuple[_Krylov, Extremes]) -> tuple[_Krylov, Extremes]:
        krylov, _ = state
        until = jnp.minimum(krylov.size + STRIDE, steps)
        step = partial(_step, operator)
        krylov = jax.lax.fori_loop(krylov.size, until, lambda _, krylov: step(krylov), krylov)
        return krylov, _extremes(krylov)

    vectors = jnp.zeros((steps + 1, flat.size), flat.dtype).at[0].set(_unit(_drawn(0, flat)))
    none = jnp.zeros(steps, flat.dtype)
    zero, far = none[0], jnp.full_like(none[0], jnp.inf)
    begun = _Krylov(vectors, none, none, jnp.array(0))
    nothing = Extremes(zero, zero, far, far, begun.size)
    return jax.lax.while_loop(unfinished, extend, (begun, nothing))[1]


def _step(operator: Callable[[Array], Array], krylov: _Krylov) -> _Krylov:
    vectors, diagonal, beside, k = krylov
    image = operator(vectors[k])
    following = _orthogonal(image, vectors)
    length = jnp.linalg.norm(following)
    # An invariant subspace is complete: what would follow is rounding noise. A fresh vector begins
    # another one, which finds the eigenvalues that the first vector had no part in.
    ended = length <= 10 * jnp.finfo(image.dtype).eps * jnp.linalg.norm(image)

    def fresh() -> Array:
        return _orthogonal(_unit(_drawn(k + 1, image)), vectors)

    following = jax.lax.cond(ended, fresh, lambda: following)
    return _Krylov(
        vectors.at[k + 1].set(_unit(following)),
        diagonal.at[k].set(vectors[k] @ image),
        beside.at[k].set(jnp.where(ended, 0, length)),
        k + 1,
    )


def _extremes(krylov: _Krylov) -> Extremes:
    _, diagonal, beside, size = krylov
    places = jnp.arange(len(diagonal))
    # the first entry lies between the Ritz values: as padding, it is never an extreme
    T = jnp.diag(jnp.where(places < size, diagonal, diagonal[0]))
    between = jnp.where(places < size - 1, beside, 0)[:-1]
    T = T + jnp.diag(between, 1) + jnp.diag(between, -1)
    # LAPACK returns anything at all for what is not finite
    values, vectors = lapack.eigh(jnp.where(jnp.isfinite(T).all(), T, jnp.nan))
    errors = jnp.abs(beside[size - 1] * vectors[size - 1])
    return Extremes(values[0], values[-1], errors[0], errors[-1], size)


def _drawn(seed: Int[Array, ""] | int, like: Float[Array, " n"]) -> Float[Array, " n"]:
    # this generator compiles in a fraction of the default one's time
    return jax.random.normal(jax.random.key(seed, impl="rbg"), like.shape, like.dtype)


def _orthogonal(vector: Array, to: Float[Array, "k n"]) -> Array:
    for _ in range(2):
        vector = vector - (to @ vector) @ to
    return vector


def _unit(vector: Array) -> Array:
    return vector / jnp.linalg.norm(vector)
