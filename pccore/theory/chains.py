"""Linear chains, networks of unit width, in closed form (thesis B.3.5, B.3.7).

With weights w_1 .. w_L, p their product and q_l = w_L .. w_{l+1},

    loss = (1/2B) sum_i (y_i - p x_i)^2,    F* = loss / s,    s = 1 + sum_{l=1}^{L-1} q_l^2

(eq. B.46; with precisions, 1 / p_L + sum_l q_l^2 / p_l). All derivatives are sums of products of
consecutive weights, from one table. Nothing is divided by a weight, so that weights may be zero.

If y is a multiple m x of x, the minima of both are the weights with p = m (B.3.7). There the
Hessian of F* is that of the loss over s, flatter by a factor that grows with the weights above the
first. Otherwise F* has no minimum: it tends to 0 as w_L -> infinity with p fixed.

The signs of eq. B.49's third case are misprinted; see `LinearChain.energy_hessian`.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Sharpness(NamedTuple):
    """The single positive eigenvalue of the Hessian at a minimum, for both landscapes."""

    loss: Float[Array, ""]
    energy: Float[Array, ""]


class LinearChain(eqx.Module):
    """Both landscapes of a chain for a batch of scalars, as functions of the batch's moments.

    Every method takes the weights w_1 .. w_L, L >= 2, in one array and at most O(L^3)
    multiplications. It can be compiled and vectorised, as in
    `jax.jit(jax.vmap(lambda w: chain.energy(w)))`.

    Attributes:
        xx: mean of x^2.
        xy: mean of x y.
        yy: mean of y^2.
        precisions: p_1 .. p_L; empty means ones.
    """

    xx: Float[Array, ""]
    xy: Float[Array, ""]
    yy: Float[Array, ""]
    precisions: tuple[float, ...] = eqx.field(static=True, default=())

    @classmethod
    def of(
        cls, x: Float[Array, "*B"], y: Float[Array, "*B"], precisions: tuple[float, ...] = ()
    ) -> "LinearChain":
        """Build the landscapes from a batch x, y."""
        return cls(jnp.mean(x * x), jnp.mean(x * y), jnp.mean(y * y), precisions)

    def loss(self, w: Float[Array, " L"]) -> Float[Array, ""]:
        """Return the loss."""
        p = jnp.prod(w)
        return 0.5 * (self.yy - 2 * p * self.xy + p**2 * self.xx)

    def perturbed_loss(self, w: Float[Array, " L"], std: float) -> Float[Array, ""]:
        """Return the mean loss under independent N(0, std^2) noise on all weights (figure A.2)."""
        squares = jnp.prod(w**2 + std**2)
        return 0.5 * (self.yy - 2 * jnp.prod(w) * self.xy + squares * self.xx)

    def rescaling(self, w: Float[Array, " L"]) -> Float[Array, ""]:
        """Return s.

        Raises:
            ValueError: the number of precisions is not that of layers. The same holds for every
                method that uses s.
        """
        variances = self._variances(w)
        return variances[-1] + jnp.sum(variances[:-1] * _products(w)[1:-1, -1] ** 2)

    def energy(self, w: Float[Array, " L"]) -> Float[Array, ""]:
        """Return F*."""
        return self.loss(w) / self.rescaling(w)

    def loss_gradient(self, w: Float[Array, " L"]) -> Float[Array, " L"]:
        """Return the gradient of the loss."""
        return self._slope(w) * _without_one(_products(w))

    def energy_gradient(self, w: Float[Array, " L"]) -> Float[Array, " L"]:
        """Return (dloss/dw_i - F* ds/dw_i) / s (eq. B.47)."""
        s_i, _ = self._rescaling_derivatives(w)
        return (self.loss_gradient(w) - self.energy(w) * s_i) / self.rescaling(w)

    def loss_hessian(self, w: Float[Array, " L"]) -> Float[Array, "L L"]:
        """Return the Hessian of the loss (eq. B.48)."""
        table = _products(w)
        p_i = _without_one(table)
        return self.xx * jnp.outer(p_i, p_i) + self._slope(w) * _without_two(table, table[0, :-1])

    def energy_hessian(self, w: Float[Array, " L"]) -> Float[Array, "L L"]:
        """Return (d2loss/dw_i dw_j - F*_i s_j - s_i F*_j - F* s_ij) / s, F*_i and s_i derivatives.

        This is eq. B.49 with all three 1/s^2 terms negative and the 1/s^3 term positive.
        """
        s_i, s_ij = self._rescaling_derivatives(w)
        crossed = jnp.outer(self.energy_gradient(w), s_i)
        own = self.loss_hessian(w) - self.energy(w) * s_ij
        return (own - crossed - crossed.T) / self.rescaling(w)

    def minimum(self, above: Float[Array, " Lm1"]) -> Float[Array, " L"]:
        """Return the minimum of the loss, and of F* if y = m x, with these w_2 .. w_L."""
        return jnp.concatenate([(self.xy / self.xx / jnp.prod(above))[None], above])

    def sharpness(self, w: Float[Array, " L"]) -> Sharpness:
        """Return the sharpness at a minimum of zero loss (eqs. B.63, A.2).

        All other eigenvalues are zero there.
        """
        loss = self.xx * jnp.sum(_without_one(_products(w)) ** 2)
        return Sharpness(loss, loss / self.rescaling(w))

    def _slope(self, w: Float[Array, " L"]) -> Float[Array, ""]:
        """Return the derivative of the loss with respect to p."""
        return jnp.prod(w) * self.xx - self.xy

    def _variances(self, w: Float[Array, " L"]) -> Float[Array, " L"]:
        if self.precisions and len(self.precisions) != len(w):
            raise ValueError(f"{len(w)} layers need {len(w)} precisions, got {self.precisions}")
        return 1 / jnp.array(self.precisions or (1.0,) * len(w), w.dtype)

    def _rescaling_derivatives(
        self, w: Float[Array, " L"]
    ) -> tuple[Float[Array, " L"], Float[Array, "L L"]]:
        """Return the first and second derivatives of s."""
        table = _products(w)
        # s has no term that begins with w_1
        variances = jnp.pad(self._variances(w)[:-1], (1, 0))
        q, head, tail = table[:-1, -1], table[:-1, :-1], table[1:, -1]
        before = (variances * q) @ head
        q_i = head * tail
        squares = q_i.T @ (variances[:, None] * q_i)
        return 2 * before * tail, 2 * (squares + _without_two(table, before))


def _products(w: Float[Array, " L"]) -> Float[Array, "L+1 L+1"]:
    """Return the table with entries (i, j) = w_{i+1} .. w_j: 1 for i = j, 0 for i > j."""
    places = jnp.arange(len(w) + 1)
    ahead = places[:-1] >= places[:, None]
    running = jnp.cumprod(jnp.where(ahead, w, 1), axis=1)
    return jnp.triu(jnp.pad(running, ((0, 0), (1, 0)), constant_values=1))


def _without_one(table: Float[Array, "Lp1 Lp1"]) -> Float[Array, " L"]:
    """Return the products of all weights except w_i."""
    return table[0, :-1] * table[1:, -1]


def _without_two(table: Float[Array, "Lp1 Lp1"], before: Float[Array, " L"]) -> Float[Array, "L L"]:
    """Return before_i times all weights after w_i except w_j, for i < j; symmetric, 0 for i = j."""
    upper = before[:, None] * table[1:, :-1] * table[1:, -1]
    return upper + upper.T
