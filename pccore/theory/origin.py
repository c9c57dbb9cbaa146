"""The saddle at the origin of deep linear networks, exactly and at any size (thesis 4.4.2, B.3).

The quadratic form of the equilibrated energy in the weights' changes dW, with Sigma the covariances
of the data, is

    H = 1:  -2 tr(dW_2 dW_1 Sigma_xy) - tr(Sigma_yy dW_2 dW_2^T)            (eqs. 4.6, 4.8)
    H > 1:  -tr(Sigma_yy dW_L dW_L^T)

The loss lacks the terms in Sigma_yy, and is flat for H > 1. Hidden units do not interact, so that
the matrix of one unit,

    R = | 0         -Sigma_xy |   for H = 1, else  -Sigma_yy  with zeros for all other weights
        | -Sigma_yx -Sigma_yy |

has all the eigenvalues, each N_1 (for H > 1, N_H) times. Gradient descent leaves along the most
negative one, where the distance grows by 1 + eta |lambda| per step (eq. A.11). For the loss at
H = 1 it is the largest singular value of Sigma_yx, and the direction is its pair of singular
vectors.

The thesis's Kronecker factors at H = 1 stack W_1 by columns; this module stacks rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.theory.landscape import covariances, require_few


class Direction(NamedTuple):
    """An eigenvector of a Hessian with respect to the weights.

    Attributes:
        curvature: the eigenvalue; -curvature is the rate of escape per unit of eta t.
        weights: dW_1 .. dW_L, with total norm 1.
    """

    curvature: Float[Array, ""]
    weights: tuple[Float[Array, "_out _into"], ...]


class OriginHessian(eqx.Module):
    """The Hessian of the loss or of the equilibrated energy at W = 0, from the covariances.

    Attributes:
        yx: Sigma_yx.
        yy: Sigma_yy for the energy, zeros for the loss.
        widths: N_0 = D, N_1 .. N_H, N_L = K.
    """

    yx: Float[Array, "K D"]
    yy: Float[Array, "K K"]
    widths: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def of_loss(
        cls, x: Float[Array, "B D"], y: Float[Array, "B K"], hidden: Sequence[int]
    ) -> "OriginHessian":
        """Build the Hessian of the loss (eq. 4.6), with hidden layers of widths `hidden`.

        Raises:
            ValueError: there is no hidden layer, so that the origin is not critical, or a width is
                not positive.
        """
        energy = cls.of_energy(x, y, hidden)
        return cls(energy.yx, jnp.zeros_like(energy.yy), energy.widths)

    @classmethod
    def of_energy(
        cls, x: Float[Array, "B D"], y: Float[Array, "B K"], hidden: Sequence[int]
    ) -> "OriginHessian":
        """Build the Hessian of the equilibrated energy (eq. 4.8); see `of_loss`."""
        if not hidden or min(hidden) < 1:
            raise ValueError(f"hidden must be one or more positive widths, got {list(hidden)}")
        data = covariances(x, y)
        return cls(data.yx, data.yy, (x.shape[-1], *hidden, y.shape[-1]))

    @property
    def size(self) -> int:
        """The number of weights p."""
        return sum(a * b for a, b in zip(self.widths, self.widths[1:], strict=False))

    def eigenvalues(self) -> Float[Array, " p"]:
        """Return all eigenvalues, ascending."""
        if self._one_hidden_layer:
            return jnp.repeat(jnp.linalg.eigvalsh(self._unit()), self.widths[1])
        negative = jnp.repeat(-jnp.linalg.eigvalsh(self.yy)[::-1], self.widths[-2])
        return jnp.concatenate([negative, jnp.zeros(self.size - len(negative), self.yy.dtype)])

    def escape(self, unit: int = 0) -> Direction:
        """Return the most negative curvature and its direction through one unit of hidden layers.

        Any other unit, or mixture of units, has the same curvature. For the loss with H > 1, whose
        curvature is zero, the direction is arbitrary.
        """
        return self._direction(0, unit)

    def steepest(self, unit: int = 0) -> Direction:
        """Return the largest curvature, zero for H > 1, and its direction (figure 4.2)."""
        return self._direction(-1, unit)

    def dense(self) -> Float[Array, "p p"]:
        """Return the dense matrix.

        Raises:
            ValueError: there are more than 3000 weights.
        """
        require_few(self.size)
        first, last = self.widths[0] * self.widths[1], self.widths[-2] * self.widths[-1]
        identity = jnp.eye(self.widths[-2], dtype=self.yy.dtype)
        dense = jnp.zeros((self.size, self.size), self.yy.dtype)
        dense = dense.at[-last:, -last:].set(-jnp.kron(self.yy, identity))
        if not self._one_hidden_layer:
            return dense
        across = -jnp.einsum("kd,nm->ndkm", self.yx, identity).reshape(first, last)
        return dense.at[:first, -last:].set(across).at[-last:, :first].set(across.T)

    @property
    def _one_hidden_layer(self) -> bool:
        return len(self.widths) == 3

    def _unit(self) -> Float[Array, "R R"]:
        """Return R, for weights into a unit of the first hidden layer and out of the last one."""
        D = self.widths[0]
        yx = self.yx if self._one_hidden_layer else jnp.zeros_like(self.yx)
        return jnp.block([[jnp.zeros((D, D), yx.dtype), -yx.T], [-yx, -self.yy]])

    def _direction(self, place: int, unit: int) -> Direction:
        values, vectors = jnp.linalg.eigh(self._unit())
        vector = vectors[:, place]
        shapes = zip(self.widths[1:], self.widths, strict=False)
        weights = [jnp.zeros(shape, vector.dtype) for shape in shapes]
        weights[0] = weights[0].at[unit].set(vector[: self.widths[0]])
        weights[-1] = weights[-1].at[:, unit].set(vector[self.widths[0] :])
        return Direction(values[place], tuple(weights))
