"""Symmetric positive definite block-tridiagonal systems: the structure of activity Hessians.

Layers interact with their neighbours only, so an (N H) x (N H) system is solved with H factors of
size N x N, by a scan over the layers: neither memory nor compile time sees the dense matrix.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class BlockTridiagonal(eqx.Module):
    """A symmetric matrix of H x H blocks, zero off its three middle block diagonals.

    Attributes:
        diagonal: blocks (l, l) for l = 1 .. H, each symmetric.
        below: blocks (l, l-1) for l = 2 .. H; those above the diagonal are their transposes.
    """

    diagonal: Float[Array, "H N N"]
    below: Float[Array, "H-1 N N"]

    def factorise(self) -> "BlockFactors":
        """Eliminate from the last block to the first.

        In this order every pivot T_l = D_l - O_{l+1}^T T_{l+1}^-1 O_{l+1} of an activity Hessian is
        at least p_l I, for the layers above can only add to what layer l costs by itself. In the
        other order the pivots of a deep residual network come arbitrarily close to singular.
        """

        def step(above: Array, blocks: tuple[Array, Array]) -> tuple[Array, Array]:
            diagonal, below = blocks
            half = jax.scipy.linalg.solve_triangular(above, below, lower=True)
            pivot = jnp.linalg.cholesky(diagonal - half.T @ half)
            return pivot, pivot

        last = jnp.linalg.cholesky(self.diagonal[-1])
        blocks = self.diagonal[:-1], self.below
        _, pivots = jax.lax.scan(step, last, blocks, reverse=True)
        return BlockFactors(jnp.concatenate([pivots, last[None]]), self.below)


class BlockFactors(eqx.Module):
    """A factorised `BlockTridiagonal`.

    Attributes:
        pivots: lower Cholesky factors of T_1 .. T_H.
        below: as in the matrix.
    """

    pivots: Float[Array, "H N N"]
    below: Float[Array, "H-1 N N"]

    def solve(self, b: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        """x of the system with right-hand sides b, one per sample; the matrix is shared."""

        def down(above: Array, layer: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            pivot, below, right = layer
            right = right - _solve(pivot, above) @ below
            return right, right

        def up(x: Array, layer: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            pivot, below, right = layer
            x = _solve(pivot, right - x @ below.T)
            return x, x

        layers = self.pivots[1:], self.below, b[:-1]
        _, reduced = jax.lax.scan(down, b[-1], layers, reverse=True)
        reduced = jnp.concatenate([reduced, b[-1:]])
        first = _solve(self.pivots[0], reduced[0])
        _, rest = jax.lax.scan(up, first, (self.pivots[1:], self.below, reduced[1:]))
        return jnp.concatenate([first[None], rest])


def _solve(pivot: Float[Array, "N N"], right: Float[Array, "B N"]) -> Float[Array, "B N"]:
    return jax.scipy.linalg.cho_solve((pivot, True), right.T).T
