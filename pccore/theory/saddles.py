"""Zero-rank saddles of deep linear networks: W_L = 0 and P = W_{L-1} .. W_1 = 0 (thesis 4.4.3).

To second order, only the changes of W_L and of P matter:

    dW^T Hess dW = -2 tr(dW_L dP Sigma_xy) - tr(Sigma_yy dW_L A dW_L^T)
    dP = sum_{l<L} M_l dW_l Q_l,    M_l = W_{L-1} .. W_{l+1},   Q_l = W_{l-1} .. W_1
    A = sum_{l<L} M_l M_l^T

A >= I is the variance that the layers below give the last hidden one (eq. B.57). The second term,
which the loss lacks, makes the saddle strict. Along dW_L = u a^T, the top eigenvectors of Sigma_yy
and A, the curvature is -lambda_max(Sigma_yy) lambda_max(A). This is not above the curvature of the
thesis's direction, and it is the lowest eigenvalue if dP = 0.

If W_L and at least two more matrices are zero, dP = 0 and the loss is flat. If only W_L and W_j are
zero, dP = M_j dW_j Q_j, and the saddle of the loss is strict unless M_j or Q_j or Q_j Sigma_xy is
zero. Figure B.3 is of the second kind at H = 2, where only W_2 is not zero, and of the first kind
for H >= 3.
"""

from collections.abc import Collection

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from pccore.theory.landscape import Matrices, covariances, require_few
from pccore.theory.origin import Direction


def zero_rank_saddle(matrices: Matrices, zero: Collection[int]) -> tuple[Array, ...]:
    """Return the matrices with W_l = 0 for every l in `zero`, of 1 .. L.

    Figures B.3 and B.4 set all layers but L - 1 to zero.

    Raises:
        ValueError: `zero` does not have L and another layer, so that the point is not critical.
    """
    L = len(matrices)
    if L not in zero or len(set(zero)) < 2 or not set(zero) <= set(range(1, L + 1)):
        raise ValueError(
            f"a zero-rank saddle needs zeros at layer {L} and at one or more of 1 to {L - 1}, "
            f"got {sorted(zero)}"
        )
    return tuple(
        jnp.zeros_like(W) if layer in zero else jnp.asarray(W)
        for layer, W in enumerate(matrices, 1)
    )


class ZeroRankHessian(eqx.Module):
    """The Hessian of the loss or of the equilibrated energy at a zero-rank saddle.

    Attributes:
        matrices: W_1 .. W_L with W_L = 0 and W_{L-1} .. W_1 = 0, as from `zero_rank_saddle`. This
            is not checked, and the formulas hold nowhere else.
        yx: Sigma_yx.
        yy: Sigma_yy for the energy, zeros for the loss.
    """

    matrices: tuple[Float[Array, "_out _into"], ...]
    yx: Float[Array, "K D"]
    yy: Float[Array, "K K"]

    @classmethod
    def of_loss(
        cls, matrices: Matrices, x: Float[Array, "B D"], y: Float[Array, "B K"]
    ) -> "ZeroRankHessian":
        """Build the Hessian of the loss at these matrices."""
        energy = cls.of_energy(matrices, x, y)
        return cls(energy.matrices, energy.yx, jnp.zeros_like(energy.yy))

    @classmethod
    def of_energy(
        cls, matrices: Matrices, x: Float[Array, "B D"], y: Float[Array, "B K"]
    ) -> "ZeroRankHessian":
        """Build the Hessian of the equilibrated energy at these matrices."""
        data = covariances(x, y)
        return cls(tuple(matrices), data.yx, data.yy)

    def variance(self) -> Float[Array, "N_H N_H"]:
        """Return A."""
        return jnp.sum(jnp.stack([M @ M.T for M in self._above()]), axis=0)

    def product(self, direction: Matrices) -> tuple[Float[Array, "_out _into"], ...]:
        """Return the Hessian times a direction, at the order of the cost of a forward pass.

        Block L is -Sigma_yx dP^T - Sigma_yy dW_L A, block l < L is -M_l^T dW_L^T Sigma_yx Q_l^T.
        """
        *rest, last = direction
        above, below = self._above(), self._below()
        moved = [M @ dW @ Q for M, dW, Q in zip(above, rest, below, strict=True)]
        dP = jnp.sum(jnp.stack(moved), axis=0)
        pulled = last.T @ self.yx
        blocks = [-M.T @ pulled @ Q.T for M, Q in zip(above, below, strict=True)]
        return *blocks, -self.yx @ dP.T - self.yy @ last @ self.variance()

    def curvature(self, direction: Matrices) -> Float[Array, ""]:
        """Return dW^T Hess dW / dW^T dW."""
        dW, _ = ravel_pytree(list(direction))
        product, _ = ravel_pytree(list(self.product(direction)))
        return dW @ product / (dW @ dW)

    def last_layer_escape(self) -> Direction:
        """Return the lowest curvature of changes of W_L alone, at any width; 0 for the loss."""
        values, vectors = jnp.linalg.eigh(self.yy)
        variances, axes = jnp.linalg.eigh(self.variance())
        still = [jnp.zeros_like(W) for W in self.matrices[:-1]]
        escape = jnp.outer(vectors[:, -1], axes[:, -1])
        return Direction(-values[-1] * variances[-1], (*still, escape))

    def eigenvalues(self) -> Float[Array, " p"]:
        """Return all eigenvalues, ascending, from a matrix of 2 K N_H rows.

        With C the Hessian's block of W_L and all other weights, the eigenvalues that are not zero
        are those of

            | -Sigma_yy (x) A    (C C^T)^1/2 |      C C^T = sum_l (Sigma_yx Q_l^T Q_l Sigma_xy)
            | (C C^T)^1/2             0      |                        (x) M_l M_l^T

        Raises:
            ValueError: 2 K N_H is above 3000.
        """
        values = jnp.linalg.eigvalsh(self._reduced())
        size = sum(W.size for W in self.matrices)
        padded = jnp.pad(values, (0, max(0, size - len(values))))
        return jnp.sort(padded[jnp.argsort(-jnp.abs(padded))][:size])

    def escape(self) -> Direction:
        """Return the lowest eigenvalue, if negative, and its direction.

        Raises:
            ValueError: as for `eigenvalues`.
        """
        values, vectors = jnp.linalg.eigh(self._reduced())
        half = len(vectors) // 2
        last = vectors[:half, 0].reshape(self.matrices[-1].shape)
        # the blocks of H v = lambda v below the last; they are zero if lambda is zero
        still = [jnp.zeros_like(W) for W in self.matrices[:-1]]
        scale = jnp.where(values[0] < 0, 1 / jnp.where(values[0] < 0, values[0], 1), 0)
        rest = [scale * block for block in self.product([*still, last])[:-1]]
        norm = jnp.linalg.norm(ravel_pytree([*rest, last])[0])
        return Direction(values[0], tuple(block / norm for block in [*rest, last]))

    def dense(self) -> Float[Array, "p p"]:
        """Return the dense matrix.

        Raises:
            ValueError: there are more than 3000 weights.
        """
        zeros, unravel = ravel_pytree([jnp.zeros_like(W) for W in self.matrices])
        require_few(len(zeros))

        def column(unit: Array) -> Array:
            return ravel_pytree(list(self.product(unravel(unit))))[0]

        return jax.vmap(column, out_axes=1)(jnp.eye(len(zeros), dtype=zeros.dtype))

    def _reduced(self) -> Float[Array, "R R"]:
        require_few(2 * self.matrices[-1].size)
        squares = [
            jnp.kron(self.yx @ Q.T @ Q @ self.yx.T, M @ M.T)
            for M, Q in zip(self._above(), self._below(), strict=True)
        ]
        values, vectors = jnp.linalg.eigh(sum(squares[1:], squares[0]))
        root = (vectors * jnp.sqrt(jnp.maximum(values, 0))) @ vectors.T
        own = -jnp.kron(self.yy, self.variance())
        return jnp.block([[own, root], [root, jnp.zeros_like(own)]])

    def _above(self) -> list[Float[Array, "N_H _out"]]:
        """Return M_1 .. M_{L-1}."""
        W = self.matrices[-1]
        products = [jnp.eye(W.shape[1], dtype=W.dtype)]
        for W in reversed(self.matrices[1:-1]):
            products.append(products[-1] @ W)
        return products[::-1]

    def _below(self) -> list[Float[Array, "_into D"]]:
        """Return Q_1 .. Q_{L-1}."""
        W = self.matrices[0]
        products = [jnp.eye(W.shape[1], dtype=W.dtype)]
        for W in self.matrices[:-2]:
            products.append(W @ products[-1])
        return products
