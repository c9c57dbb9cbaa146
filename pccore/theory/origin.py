"""The saddle at the origin of deep linear networks, exactly and at any size (thesis 4.4.2, B.3).

With quadratic form in the weights' changes dW, Sigma the covariances of the data,

    H = 1:  -2 tr(dW_2 dW_1 Sigma_xy) - tr(Sigma_yy dW_2 dW_2^T)            (eqs. 4.6, 4.8)
    H > 1:  -tr(Sigma_yy dW_L dW_L^T)

for the equilibrated energy; the loss lacks the terms in Sigma_yy, and is flat for H > 1. Hidden
units do not interact, so all is known from one of them:

    R = | 0         -Sigma_xy |   for H = 1, else  -Sigma_yy  with zeros for all other weights
        | -Sigma_yx -Sigma_yy |

has all the eigenvalues, each N_1 (for H > 1, N_H) times. The most negative one is where gradient
descent leaves: along it the distance grows by 1 + eta |lambda| a step (eq. A.11). For the loss at
H = 1 that is the largest singular value of Sigma_yx, and the escape its pair of singular vectors.

The thesis's Kronecker factors at H = 1 are those of a W_1 stacked by columns; here rows.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.theory.landscape import covariances, require_few


class Direction(NamedTuple):
    """An eigenvector of a Hessian with respect to the weights.

    Attributes:
        curvature: its eigenvalue; -curvature is the rate of escape per unit of eta t.
        weights: dW_1 .. dW_L, together of length 1.
    """

    curvature: Float[Array, ""]
    weights: tuple[Float[Array, "out into"], ...]


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
    def of_loss(cls, x: Float[Array, "B D"], y: Float[Array, "B K"], hidden: Sequence[int]) -> Self:
        """Of the loss (eq. 4.6), with hidden layers of widths `hidden`.

        Raises:
            ValueError: no hidden layer, where the origin is no critical point; or an empty one.
        """
        energy = cls.of_energy(x, y, hidden)
        return cls(energy.yx, jnp.zeros_like(energy.yy), energy.widths)

    @classmethod
    def of_energy(
        cls, x: Float[Array, "B D"], y: Float[Array, "B K"], hidden: Sequence[int]
    ) -> Self:
        """Of the equilibrated energy (eq. 4.8); arguments and errors as in `of_loss`."""
        if not hidden or min(hidden) < 1:
            raise ValueError(f"hidden must be one positive width or more, got {list(hidden)}")
        data = covariances(x, y)
        return cls(data.yx, data.yy, (x.shape[-1], *hidden, y.shape[-1]))

    @property
    def size(self) -> int:
        """p, the number of weights."""
        return sum(a * b for a, b in zip(self.widths, self.widths[1:], strict=False))

    def eigenvalues(self) -> Float[Array, " p"]:
        """All of them, ascending."""
        if self._one_hidden_layer:
            return jnp.repeat(jnp.linalg.eigvalsh(self._unit()), self.widths[1])
        negative = jnp.repeat(-jnp.linalg.eigvalsh(self.yy)[::-1], self.widths[-2])
        return jnp.concatenate([negative, jnp.zeros(self.size - len(negative), self.yy.dtype)])

    def escape(self, unit: int = 0) -> Direction:
        """The most negative curvature and a direction of it, through one unit of hidden layers.

        Any other unit, or mixture of units, has the same curvature. Of the loss with H > 1, whose
        curvature is zero, it is no more than some direction.
        """
        return self._direction(0, unit)

    def steepest(self, unit: int = 0) -> Direction:
        """The largest curvature, which is zero for H > 1, and a direction of it: figure 4.2."""
        return self._direction(-1, unit)

    def dense(self) -> Float[Array, "p p"]:
        """The matrix itself.

        Raises:
            ValueError: more than 3000 weights.
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

    def _unit(self) -> Float[Array, "D+K D+K"]:
        """R: the weights into one unit of the first hidden layer, and out of one of the last."""
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
