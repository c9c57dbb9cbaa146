"""Solves with the activity Hessian by dynamic programming over the layers, in O(H K N^2).

Activities are a linear system driven by its errors, z_l = A_l z_{l-1} + tau z_{l-n} + e_l with
A_l = a_l W_l diag(phi'(z_{l-1})), and the energy is the quadratic cost of these errors and of the
output. The minimal cost of the layers above l is therefore a quadratic function of z_l and the
layers below: Riccati's recursion of optimal control. Only the K outputs have a cost of their own,
so its rank stays at K,

    V_l = 1/2 ||sum_{i=0}^{n-1} G_i z_{l-i}||^2,    the pivot of layer l is T_l = p_l I + G_0^T G_0,
    G'_i = E_i + M G_{i+1},    M^T M = (I + G_0 G_0^T / p_l)^-1,
    E_0 = M G_0 A_l,  E_{n-1} += tau M G_0          (G' is that of layer l - 1)

This is the block elimination of `pccore.linalg.blocktridiagonal` without its N x N blocks, for any
n. No step subtracts and every pivot is well-conditioned, so that the inverse of H_z is accurate
relative to its own size. This holds even for deep residual networks, where the smallest eigenvalues
of H_z are below the rounding of the largest and H_z itself cannot be represented.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.linalg import lapack
from pccore.networks.stacked import Network

_Pivot = tuple[Float[Array, "n R N"], Float[Array, "R R"], Float[Array, ""]]
"""G_0 .. G_{n-1}, the Cholesky factor of p I + G_0 G_0^T, and p."""


class Riccati(eqx.Module):
    """The inverse of the Hessian of one sample, without activity decay and without phi''.

    Attributes:
        network: the weights.
        slope: phi'(z_1) .. phi'(z_H).
        precisions: p_1 .. p_H.
        costs: G_0 .. G_{n-1} of every layer, with R = min(K, N) rows each.
        roots: lower Cholesky factors of p_l I + G_0 G_0^T.
    """

    network: Network
    slope: Float[Array, "H N"]
    precisions: Float[Array, " H"]
    costs: Float[Array, "H n R N"]
    roots: Float[Array, "H R R"]

    @classmethod
    def of(
        cls, network: Network, slope: Float[Array, "H N"], curvature_root: Float[Array, "K K"]
    ) -> "Riccati":
        """Run the recursion, from the last layer down.

        Args:
            network: the weights; skips of any length and any precisions are allowed.
            slope: slope of the activation at every hidden activity.
            curvature_root: any Q with Q^T Q = p_L d2E/dg2, g the prediction.
        """
        config = network.config
        p = jnp.array(config.precisions[:-1] or (1.0,) * config.depth, slope.dtype)

        def down(G: Array, layer: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
            W, slope, p = layer
            root = _root(G[0], p)
            E = jnp.sqrt(p) * lapack.solve_lower(root, G[0])
            passed = jnp.sqrt(p) * jax.vmap(partial(lapack.solve_lower, root))(G[1:])
            below = jnp.concatenate([passed, E[None] if config.residual else 0 * E[None]])
            below = below.at[0].add(config.scalings.hidden * (E @ W) * slope)
            return below, (G, root)

        last = config.scalings.last * (curvature_root @ network.last) * slope[-1]
        if last.shape[0] > last.shape[1]:
            last = lapack.qr_root(last)
        top = jnp.pad(last[None], ((0, config.stride - 1), (0, 0), (0, 0)))
        layers = network.hidden, slope[:-1], p[1:]
        first, (costs, roots) = jax.lax.scan(down, top, layers, reverse=True)
        costs = jnp.concatenate([first[None], costs])
        roots = jnp.concatenate([_root(first[0], p[0])[None], roots])
        return cls(network, slope, p, costs, roots)

    def solve(self, b: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        """Return H_z^-1 b for B right-hand sides, by one downward and one upward sweep."""
        config, W = self.network.config, self.network.hidden
        n, a, tau = config.stride, config.scalings.hidden, float(config.residual)

        def down(h: Array, layer: tuple[_Pivot, Array, Array, Array]) -> tuple[Array, Array]:
            """Pass on h, the linear part of the cost of the layers above; q is its solution."""
            pivot, W, slope, b = layer
            q = _divide(pivot, h[0] + b)
            G, _, p = pivot
            passed = h[1:] - jnp.einsum("br,irn->ibn", q @ G[0].T, G[1:])
            below = jnp.concatenate([passed, tau * p * q[None]])
            return below.at[0].add(slope * (a * p * (q @ W))), q

        def up(below: Array, layer: tuple[_Pivot, Array, Array, Array]) -> tuple[Array, Array]:
            pivot, W, slope, q = layer
            G, _, p = pivot
            mean = a * ((slope * below[-1]) @ W.T) + tau * below[0]
            lower = jnp.einsum("irn,ibn->br", G[1:], below[:0:-1])
            z = q + _divide(pivot, p * mean - lower @ G[0])
            return jnp.concatenate([below[1:], z[None]]), z

        first = self.costs[0], self.roots[0], self.precisions[0]
        upper = self.costs[1:], self.roots[1:], self.precisions[1:]
        nothing = jnp.zeros((n, *b.shape[1:]), b.dtype)
        h, q = jax.lax.scan(down, nothing, (upper, W, self.slope[:-1], b[1:]), reverse=True)
        z = _divide(first, h[0] + b[0])
        _, rest = jax.lax.scan(up, nothing.at[-1].set(z), (upper, W, self.slope[:-1], q))
        return jnp.concatenate([z[None], rest])


def _root(G: Float[Array, "R N"], p: Float[Array, ""]) -> Float[Array, "R R"]:
    return lapack.cholesky(p * jnp.eye(len(G), dtype=G.dtype) + G @ G.T)


def _divide(pivot: _Pivot, b: Float[Array, "B N"]) -> Float[Array, "B N"]:
    """Return T^-1 b = (b - G_0^T (p I + G_0 G_0^T)^-1 G_0 b) / p."""
    G, root, p = pivot
    return (b - lapack.cho_solve(root, G[0] @ b.T).T @ G[0]) / p
