"""Symmetric block-tridiagonal matrices: the structure of activity Hessians.

Layers interact only with their neighbours, so that H factors of size N x N solve an (N H) x (N H)
system, in a scan over the layers. The dense matrix appears neither in memory nor in compile time.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pccore.linalg import lapack


class BlockTridiagonal(eqx.Module):
    """A symmetric matrix of H x H blocks, zero outside its three middle block diagonals.

    Attributes:
        diagonal: blocks (l, l) for l = 1 .. H, each symmetric.
        below: blocks (l, l-1) for l = 2 .. H; the blocks above the diagonal are their transposes.
    """

    diagonal: Float[Array, "H N N"]
    below: Float[Array, "Hm1 N N"]

    def product(self, v: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        """Return the matrix times each of B vectors."""

        def times(blocks: Array, v: Array) -> Array:
            return jnp.einsum("lij,lbj->lbi", blocks, v)

        from_below = jnp.pad(times(self.below, v[:-1]), ((1, 0), (0, 0), (0, 0)))
        from_above = jnp.pad(times(self.below.mT, v[1:]), ((0, 1), (0, 0), (0, 0)))
        return times(self.diagonal, v) + from_below + from_above

    def dense(self, largest: int = 8192) -> Float[Array, "HN HN"]:
        """Return the dense matrix of (H N)^2 numbers, for small sizes.

        Raises:
            ValueError: the matrix has more than `largest` rows.
        """
        H, N, _ = self.diagonal.shape
        if (rows := H * N) > largest:
            raise ValueError(
                f"a dense matrix may have at most {largest} rows, got {H} x {N} = {rows}"
            )
        layers = jnp.arange(H)
        blocks = jnp.zeros((H, H, N, N), self.diagonal.dtype).at[layers, layers].set(self.diagonal)
        blocks = blocks.at[layers[1:], layers[:-1]].set(self.below)
        blocks = blocks.at[layers[:-1], layers[1:]].set(self.below.mT)
        return blocks.transpose(0, 2, 1, 3).reshape(H * N, H * N)

    def factorise(self, *, definite: bool = True) -> "BlockFactors":
        """Factorise the matrix by elimination from the last block to the first.

        In this order every pivot T_l = D_l - O_{l+1}^T T_{l+1}^-1 O_{l+1} of an activity Hessian is
        at least p_l I, because the layers above can only add to the energy of layer l. In the other
        order the pivots of a deep residual network come arbitrarily close to singular.

        Args:
            definite: whether the matrix is positive definite. If not, LU factorises each pivot.
                Rows are exchanged only within a block, so that pivots may still be nearly singular.
        """

        method = _CHOLESKY if definite else _LU

        def step(
            above: PyTree[Array], blocks: tuple[Array, Array]
        ) -> tuple[PyTree[Array], PyTree[Array]]:
            diagonal, below = blocks
            pivot = method.decompose(diagonal - method.form(above, below))
            return pivot, pivot

        last = method.decompose(self.diagonal[-1])
        blocks = self.diagonal[:-1], self.below
        _, pivots = jax.lax.scan(step, last, blocks, reverse=True)
        pivots = jax.tree.map(lambda some, one: jnp.concatenate([some, one[None]]), pivots, last)
        return BlockFactors(pivots, self.below, definite)


class BlockFactors(eqx.Module):
    """A factorised `BlockTridiagonal`.

    Attributes:
        pivots: the decompositions of T_1 .. T_H.
        below: the blocks below the diagonal, as in the matrix.
        definite: whether the decompositions are Cholesky's or else LU.
    """

    pivots: PyTree[Array]
    below: Float[Array, "Hm1 N N"]
    definite: bool = eqx.field(static=True)

    def solve(self, b: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        """Return the solution for right-hand sides b, one per sample; the matrix is shared."""

        method = _CHOLESKY if self.definite else _LU

        def solve(pivot: PyTree[Array], right: Float[Array, "B N"]) -> Float[Array, "B N"]:
            return method.solve(pivot, right.T).T

        def down(above: Array, layer: tuple[PyTree[Array], Array, Array]) -> tuple[Array, Array]:
            pivot, below, right = layer
            right = right - solve(pivot, above) @ below
            return right, right

        def up(x: Array, layer: tuple[PyTree[Array], Array, Array]) -> tuple[Array, Array]:
            pivot, below, right = layer
            x = solve(pivot, right - x @ below.T)
            return x, x

        first = jax.tree.map(lambda pivots: pivots[0], self.pivots)
        upper = jax.tree.map(lambda pivots: pivots[1:], self.pivots)
        _, reduced = jax.lax.scan(down, b[-1], (upper, self.below, b[:-1]), reverse=True)
        reduced = jnp.concatenate([reduced, b[-1:]])
        lowest = solve(first, reduced[0])
        _, rest = jax.lax.scan(up, lowest, (upper, self.below, reduced[1:]))
        return jnp.concatenate([lowest[None], rest])


class _Decomposition(NamedTuple):
    """A decomposition of a pivot T, the solution T^-1 b by it, and the form O^T T^-1 O."""

    decompose: Callable[[Array], PyTree[Array]]
    solve: Callable[[PyTree[Array], Array], Array]
    form: Callable[[PyTree[Array], Array], Array]


def _half(pivot: Array, below: Array) -> Array:
    return lapack.solve_lower(pivot, below)


_CHOLESKY = _Decomposition(
    lapack.cholesky,
    lapack.cho_solve,
    lambda pivot, below: (half := _half(pivot, below)).T @ half,
)
_LU = _Decomposition(
    lapack.lu_factor,
    lambda pivot, b: lapack.lu_solve(pivot[0], pivot[1], b),
    lambda pivot, below: below.T @ lapack.lu_solve(pivot[0], pivot[1], below),
)
