"""Linear chains, networks of unit width, in closed form (thesis B.3.5, B.3.7).

With weights w_1 .. w_L, p their product and q_l = w_L .. w_{l+1},

    loss = (1/2B) sum_i (y_i - p x_i)^2,    F* = loss / s,    s = 1 + sum_{l=1}^{L-1} q_l^2

(eq. B.46; with precisions, 1 / p_L + sum_l q_l^2 / p_l). All derivatives are sums of products of
consecutive weights, which one table holds: no weight is divided by, and zeros are no exception.

Where y is a multiple m x of x, the minima of both are the weights with p = m (B.3.7). There
F*'s Hessian is the loss's over s: flatter by what grows with the weights above the first. Where
y is not, F* has no minimum: w_L -> infinity with p held takes it to 0.

The signs of eq. B.49's third case are misprinted; see `LinearChain.energy_hessian`.
"""

from typing import NamedTuple, Self

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Sharpness(NamedTuple):
    """The one positive eigenvalue of the Hessian at a minimum, of both landscapes."""

    loss: Float[Array, ""]
    energy: Float[Array, ""]


class LinearChain(eqx.Module):
    """Both landscapes of a chain for a batch of scalars, which they see through its moments.

    Every method takes the weights w_1 .. w_L, L >= 2, in one array, in O(L^3) multiplications at
    most, and may be compiled and vectorised, as `jax.jit(jax.vmap(lambda w: chain.energy(w)))`.

    Attributes:
        xx: the mean of x^2.
        xy: the mean of x y.
        yy: the mean of y^2.
        precisions: p_1 .. p_L; none stands for ones.
    """

    xx: Float[Array, ""]
    xy: Float[Array, ""]
    yy: Float[Array, ""]
    precisions: tuple[float, ...] = eqx.field(static=True, default=())

    @classmethod
    def of(
        cls, x: Float[Array, "*B"], y: Float[Array, "*B"], precisions: tuple[float, ...] = ()
    ) -> Self:
        """For the batch x, y."""
        return cls(jnp.mean(x * x), jnp.mean(x * y), jnp.mean(y * y), precisions)

    def loss(self, w: Float[Array, " L"]) -> Float[Array, ""]:
        p = jnp.prod(w)
        return 0.5 * (self.yy - 2 * p * self.xy + p**2 * self.xx)

    def perturbed_loss(self, w: Float[Array, " L"], std: float) -> Float[Array, ""]:
        """The mean loss under independent N(0, std^2) noise on all weights (figure A.2)."""
        squares = jnp.prod(w**2 + std**2)
        return 0.5 * (self.yy - 2 * jnp.prod(w) * self.xy + squares * self.xx)

    def rescaling(self, w: Float[Array, " L"]) -> Float[Array, ""]:
        """s.

        Raises:
            ValueError: precisions for another number of layers; the same in all that need s.
        """
        variances = self._variances(w)
        return variances[-1] + jnp.sum(variances[:-1] * _products(w)[1:-1, -1] ** 2)

    def energy(self, w: Float[Array, " L"]) -> Float[Array, ""]:
        """F*."""
        return self.loss(w) / self.rescaling(w)

    def loss_gradient(self, w: Float[Array, " L"]) -> Float[Array, " L"]:
        return self._slope(w) * _without_one(_products(w))

    def energy_gradient(self, w: Float[Array, " L"]) -> Float[Array, " L"]:
        """(dloss/dw_i - F* ds/dw_i) / s (eq. B.47)."""
        s_i, _ = self._rescaling_derivatives(w)
        return (self.loss_gradient(w) - self.energy(w) * s_i) / self.rescaling(w)

    def loss_hessian(self, w: Float[Array, " L"]) -> Float[Array, "L L"]:
        """Eq. B.48."""
        table = _products(w)
        p_i = _without_one(table)
        return self.xx * jnp.outer(p_i, p_i) + self._slope(w) * _without_two(table, table[0, :-1])

    def energy_hessian(self, w: Float[Array, " L"]) -> Float[Array, "L L"]:
        """(d2loss/dw_i dw_j - F*_i s_j - s_i F*_j - F* s_ij) / s, F*_i and s_i derivatives.

        That is eq. B.49 with all three of its 1/s^2 terms negative and its 1/s^3 term positive.
        """
        s_i, s_ij = self._rescaling_derivatives(w)
        crossed = jnp.outer(self.energy_gradient(w), s_i)
        own = self.loss_hessian(w) - self.energy(w) * s_ij
        return (own - crossed - crossed.T) / self.rescaling(w)

    def minimum(self, above: Float[Array, " L-1"]) -> Float[Array, " L"]:
        """The minimum of the loss, and of F* where y = m x, that has these w_2 .. w_L."""
        return jnp.concatenate([(self.xy / self.xx / jnp.prod(above))[None], above])

    def sharpness(self, w: Float[Array, " L"]) -> Sharpness:
        """At a minimum with no loss; all other eigenvalues are zero there (eqs. B.63, A.2)."""
        loss = self.xx * jnp.sum(_without_one(_products(w)) ** 2)
        return Sharpness(loss, loss / self.rescaling(w))

    def _slope(self, w: Float[Array, " L"]) -> Float[Array, ""]:
        """The loss's derivative by p."""
        return jnp.prod(w) * self.xx - self.xy

    def _variances(self, w: Float[Array, " L"]) -> Float[Array, " L"]:
        if self.precisions and len(self.precisions) != len(w):
            raise ValueError(f"{len(w)} layers have as many precisions, got {self.precisions}")
        return 1 / jnp.array(self.precisions or (1.0,) * len(w), w.dtype)

    def _rescaling_derivatives(
        self, w: Float[Array, " L"]
    ) -> tuple[Float[Array, " L"], Float[Array, "L L"]]:
        """First and second derivatives of s."""
        table = _products(w)
        # s has no term that begins with w_1
        variances = jnp.pad(self._variances(w)[:-1], (1, 0))
        q, head, tail = table[:-1, -1], table[:-1, :-1], table[1:, -1]
        before = (variances * q) @ head
        q_i = head * tail
        squares = q_i.T @ (variances[:, None] * q_i)
        return 2 * before * tail, 2 * (squares + _without_two(table, before))


def _products(w: Float[Array, " L"]) -> Float[Array, "L+1 L+1"]:
    """Entry (i, j) is w_{i+1} .. w_j: 1 for i = j, 0 for i > j."""
    places = jnp.arange(len(w) + 1)
    ahead = places[:-1] >= places[:, None]
    running = jnp.cumprod(jnp.where(ahead, w, 1), axis=1)
    return jnp.triu(jnp.pad(running, ((0, 0), (1, 0)), constant_values=1))


def _without_one(table: Float[Array, "L+1 L+1"]) -> Float[Array, " L"]:
    """The product of all weights but w_i."""
    return table[0, :-1] * table[1:, -1]


def _without_two(table: Float[Array, "L+1 L+1"], before: Float[Array, " L"]) -> Float[Array, "L L"]:
    """before_i times all weights after w_i but w_j, for i < j; symmetric, zero for i = j."""
    upper = before[:, None] * table[1:, :-1] * table[1:, -1]
    return upper + upper.T
