"""Dense factorisations and solutions, one matrix at a time on a CPU, also under `vmap`.

XLA's CPU kernels of LAPACK split a batch over the threads that run programs, and block the calling
thread until all parts are done. As many programs as there are threads can therefore deadlock
(jaxlib 0.10: two training threads stood still at a batched `eigh`). GPUs have no such kernels and
receive whole batches.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float, Int, PyTree

Function = TypeVar("Function", bound=Callable[..., object])

MOST_WEIGHTS = 3000
"""Largest number of weights for which a dense Hessian is formed."""


def _one_by_one(function: Function) -> Function:
    """Wrap a function of arrays so that a batch calls it once for each member on a CPU."""

    @custom_vmap
    def single(*arrays: Array) -> PyTree[Array]:
        return function(*arrays)

    @single.def_vmap
    def batch(size: int, batched: list[bool], *arrays: Array) -> tuple[PyTree[Array], PyTree[bool]]:
        along = [0 if each else None for each in batched]

        def in_turn(*arrays: Array) -> PyTree[Array]:
            def member(own: list[Array]) -> PyTree[Array]:
                mine = iter(own)
                return single(
                    *(next(mine) if b else a for a, b in zip(arrays, batched, strict=True))
                )

            return jax.lax.map(member, [a for a, b in zip(arrays, batched, strict=True) if b])

        results = jax.lax.platform_dependent(
            *arrays, cpu=in_turn, default=jax.vmap(function, in_axes=along)
        )
        return results, jax.tree.map(lambda _: True, results)

    @jax.custom_jvp
    def differentiable(*arrays: Array) -> PyTree[Array]:
        return single(*arrays)

    @differentiable.defjvp
    def derivative(
        # tangents of integers are NumPy's float0
        primals: tuple[Array, ...],
        tangents: tuple[Array | np.ndarray, ...],
    ) -> tuple[PyTree[Array], PyTree]:
        # `custom_vmap` has no transpose; only theory takes derivatives, outside of training
        return jax.jvp(function, primals, tangents)

    return cast(Function, differentiable)


@_one_by_one
def cholesky(A: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return the lower triangular L with A = L L^T."""
    return jnp.linalg.cholesky(A)


@_one_by_one
def eigh(A: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Return the eigenvalues of a symmetric matrix, ascending, and its eigenvectors in columns."""
    values, vectors = jnp.linalg.eigh(A)
    return values, vectors


@_one_by_one
def qr(A: Float[Array, "m n"]) -> tuple[Float[Array, "m k"], Float[Array, "k n"]]:
    """Return Q and the upper triangular R of A = Q R; k = min(m, n)."""
    Q, R = jnp.linalg.qr(A)
    return Q, R


@_one_by_one
def qr_root(A: Float[Array, "m n"]) -> Float[Array, "k n"]:
    """Return the R of A = Q R alone, with A^T A = R^T R."""
    return jnp.linalg.qr(A, mode="r")


@_one_by_one
def solve_lower(L: Float[Array, "n n"], b: Float[Array, "n r"]) -> Float[Array, "n r"]:
    """Return L^-1 b for a lower triangular L."""
    return jsl.solve_triangular(L, b, lower=True)


@_one_by_one
def cho_solve(L: Float[Array, "n n"], b: Float[Array, "n r"]) -> Float[Array, "n r"]:
    """Return (L L^T)^-1 b for a lower triangular L."""
    return jsl.cho_solve((L, True), b)


@_one_by_one
def lu_factor(A: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Int[Array, " n"]]:
    """Return L and U in one matrix, and the pivot indices."""
    return jsl.lu_factor(A)


@_one_by_one
def lu_solve(
    lu: Float[Array, "n n"], pivots: Int[Array, " n"], b: Float[Array, "n r"]
) -> Float[Array, "n r"]:
    """Return A^-1 b from the result of `lu_factor`."""
    return jsl.lu_solve((lu, pivots), b)


def solve_small(A: Float[Array, "*batch K K"], b: Float[Array, "*batch K"]) -> Array:
    """Return A^-1 b for many small systems at once, by elimination with partial pivoting.

    For 192 systems of 10 equations it takes half the time of LAPACK.
    """
    rows = jnp.arange(A.shape[-1])

    def eliminate(k: Array, M: Float[Array, "*batch K K+1"]) -> Float[Array, "*batch K K+1"]:
        candidates = jnp.where(rows < k, -1.0, jnp.abs(M[..., k]))
        chosen = (rows == jnp.argmax(candidates, -1, keepdims=True))[..., None]
        here = (rows == k)[:, None]
        pivot = jnp.sum(jnp.where(chosen, M, 0), -2, keepdims=True)
        M = jnp.where(chosen, M[..., k, :][..., None, :], M)
        pivot = pivot / pivot[..., k][..., None]
        return jnp.where(here, pivot, M - M[..., k][..., None] * pivot)

    return jax.lax.fori_loop(0, len(rows), eliminate, jnp.concatenate([A, b[..., None]], -1))[
        ..., -1
    ]
