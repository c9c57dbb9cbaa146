"""Extreme eigenvalues of a symmetric operator by Lanczos' method, from its products alone.

k products span a Krylov space; the eigenvalues of the operator's projection on it, T_k, are the
Ritz values. For a Ritz pair (theta, v), with v = V_k s and beta_k the norm of the next vector,

    ||A v - theta v|| = beta_k |s_k|        (Parlett, The Symmetric Eigenvalue Problem, 13.2)

and some eigenvalue lies within this distance of theta. In floating point the bound holds only for
orthogonal vectors, so all vectors are kept and each is orthogonalised twice against the others.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from pccore.linalg import lapack

STRIDE = 8  # steps between two computations of the Ritz values, which cost steps^3 each


class Extremes(NamedTuple):
    """The outermost Ritz values, which lie within the spectrum. All bounds hold up to rounding.

    Attributes:
        low: the lowest Ritz value, never below the smallest eigenvalue.
        high: the highest Ritz value, never above the largest eigenvalue.
        low_error: an eigenvalue is within this distance of `low`.
        high_error: an eigenvalue is within this distance of `high`.
        steps: number of products taken.
    """

    low: Float[Array, ""]
    high: Float[Array, ""]
    low_error: Float[Array, ""]
    high_error: Float[Array, ""]
    steps: Int[Array, ""]

    @property
    def magnitude(self) -> Float[Array, ""]:
        """The largest magnitude of the two values."""
        return jnp.maximum(self.high, -self.low)


class _Krylov(NamedTuple):
    """V_k and T_k, with zeros in entries that are not computed yet."""

    vectors: Float[Array, "steps+1 n"]
    diagonal: Float[Array, " steps"]
    off_diagonal: Float[Array, " steps"]
    size: Int[Array, ""]


def lanczos(
    product: Callable[[PyTree[Array]], PyTree[Array]],
    like: PyTree[Array],
    *,
    steps: int = 128,
    tolerance: float = 1e-3,
) -> Extremes:
    """Estimate the extreme eigenvalues of a symmetric operator.

    The method ends when the Ritz value of largest magnitude has the relative error `tolerance`, or
    after `steps` products. Values converge with the square of their error bound where eigenvalues
    are separated, and to about (log n / steps)^2 of the spectrum's extent at a dense edge.

    Args:
        product: v -> A v, for arrays or pytrees of them.
        like: a vector's structure, shapes and dtype; its values are not used.
        steps: maximum number of products; one vector is stored for each.
        tolerance: error bound relative to the value.

    Raises:
        ValueError: `steps` is below one.
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


def largest_ritz_value(
    product: Callable[[PyTree[Array]], PyTree[Array]], like: PyTree[Array], steps: int
) -> Float[Array, ""]:
    """Return the highest Ritz value after a fixed number of steps, without an error bound.

    It keeps three vectors and does not orthogonalise against the others. That loses orthogonality
    once a Ritz value has converged, which repeats the value and does not change it (Parlett,
    chapter 13). In lanes of a compiled program it costs a tenth of `lanczos`.

    Args:
        product: v -> A v, for arrays or pytrees of them.
        like: a vector's structure, shapes and dtype; its values are not used.
        steps: number of products.
    """
    flat, unravel = ravel_pytree(like)

    def step(
        carry: tuple[Array, Array, Array], _: None
    ) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
        vector, before, length = carry
        image = ravel_pytree(product(unravel(vector)))[0] - length * before
        diagonal = image @ vector
        following = image - diagonal * vector
        length = jnp.linalg.norm(following)
        return (following / jnp.where(length > 0, length, 1), vector, length), (diagonal, length)

    first = _unit(_drawn(0, flat))
    begun = first, jnp.zeros_like(first), jnp.zeros((), flat.dtype)
    _, (diagonal, off_diagonal) = jax.lax.scan(step, begun, None, length=steps)
    return _eigh_tridiagonal(diagonal, off_diagonal[:-1])[0][-1]


def _step(operator: Callable[[Array], Array], krylov: _Krylov) -> _Krylov:
    vectors, diagonal, off_diagonal, k = krylov
    image = operator(vectors[k])
    following = _orthogonal(image, vectors)
    length = jnp.linalg.norm(following)
    # When an invariant subspace is complete, the next vector would be rounding noise. A fresh one
    # starts another subspace, with the eigenvalues to which the first vector was orthogonal.
    ended = length <= 10 * jnp.finfo(image.dtype).eps * jnp.linalg.norm(image)

    def fresh() -> Array:
        return _orthogonal(_unit(_drawn(k + 1, image)), vectors)

    following = jax.lax.cond(ended, fresh, lambda: following)
    return _Krylov(
        vectors.at[k + 1].set(_unit(following)),
        diagonal.at[k].set(vectors[k] @ image),
        off_diagonal.at[k].set(jnp.where(ended, 0, length)),
        k + 1,
    )


def _extremes(krylov: _Krylov) -> Extremes:
    _, diagonal, off_diagonal, size = krylov
    places = jnp.arange(len(diagonal))
    # the first entry lies between the Ritz values: as padding, it is never an extreme
    padded = jnp.where(places < size, diagonal, diagonal[0])
    between = jnp.where(places < size - 1, off_diagonal, 0)[:-1]
    values, vectors = _eigh_tridiagonal(padded, between)
    errors = jnp.abs(off_diagonal[size - 1] * vectors[size - 1])
    return Extremes(values[0], values[-1], errors[0], errors[-1], size)


def _eigh_tridiagonal(
    diagonal: Float[Array, " n"], off_diagonal: Float[Array, " n-1"]
) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    T = jnp.diag(diagonal) + jnp.diag(off_diagonal, 1) + jnp.diag(off_diagonal, -1)
    # LAPACK returns arbitrary numbers for matrices that are not finite
    return lapack.eigh(jnp.where(jnp.isfinite(T).all(), T, jnp.nan))


def _drawn(seed: Int[Array, ""] | int, like: Float[Array, " n"]) -> Float[Array, " n"]:
    # this generator compiles much faster than the default one
    return jax.random.normal(jax.random.key(seed, impl="rbg"), like.shape, like.dtype)


def _orthogonal(vector: Array, to: Float[Array, "k n"]) -> Array:
    for _ in range(2):
        vector = vector - (to @ vector) @ to
    return vector


def _unit(vector: Array) -> Array:
    return vector / jnp.linalg.norm(vector)
