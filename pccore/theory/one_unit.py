"""The network with one linear hidden unit, f(x) = w_2 w_1 x: thesis 3.4, A.1.1, A.2.

Its landscapes, their derivatives and minima are those of a `LinearChain` of two weights. This
module has the closed forms of this network alone: its saddle, its nearest solution, and its energy
during inference. With precisions p_1, p_2 (figure A.5)

    F = p_1/2 (z - w_1 x)^2 + p_2/2 (y - w_2 z)^2,     F* = loss / (1 / p_2 + w_2^2 / p_1)

For p_1 -> infinity F* becomes the loss times p_2. For p_2 -> infinity it becomes the error
p_1/2 (y / w_2 - w_1 x)^2 from y / w_2, the target of the hidden unit in target propagation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.theory.chains import LinearChain
from pccore.theory.near_critical import damped_newton

HALVINGS = 64


class SaddleEigenvalues(NamedTuple):
    """Lowest and highest eigenvalue of both Hessians at w = 0, for unit precisions (eq. A.9)."""

    loss: Float[Array, " 2"]
    energy: Float[Array, " 2"]


def saddle_eigenvalues(chain: LinearChain) -> SaddleEigenvalues:
    """Return -+ |xy| of the loss and (-y^2 -+ sqrt(y^4 + 4 (xy)^2)) / 2 of F*, in batch means.

    Both eigenvalues of F* are lower: descent leaves the saddle faster and approaches it more slowly
    (Theorem A.1).
    """
    signs = jnp.array([-1, 1], chain.xy.dtype)
    # F*'s eigenvalues have the product -xy^2, which gives the small one without cancellation
    lowest = -0.5 * (chain.yy + jnp.hypot(chain.yy, 2 * chain.xy))
    energy = jnp.stack([lowest, -(chain.xy**2) / lowest])
    return SaddleEigenvalues(signs * jnp.abs(chain.xy), energy)


def energy_while_inferring(
    chain: LinearChain, w: Float[Array, " 2"], rate: float, steps: int
) -> Float[Array, ""]:
    """Return F after gradient steps on z from a forward pass (figure A.4).

        F_t = F* + (1 - rate c)^(2t) (F_0 - F*),    c = p_1 + p_2 w_2^2,    F_0 = p_2 loss

    `rate` multiplies each sample's own gradient: it is beta / B.
    """
    p1, p2 = chain.precisions or (1.0, 1.0)
    settled = chain.energy(w)
    left = (1 - rate * (p1 + p2 * w[1] ** 2)) ** (2 * steps)
    return settled + left * (p2 * chain.loss(w) - settled)


def nearest_minimum(w: Float[Array, " 2"], slope: Float[Array, ""]) -> Float[Array, " 2"]:
    """Return the solution w_1 w_2 = slope that is closest to w (eqs. A.2, A.3).

    The thesis solves a quartic. This function bisects the multiplier mu of the constraint instead.
    Along the diagonals u = (w_1 + w_2) / sqrt(2), v = (w_1 - w_2) / sqrt(2), the closest point is
    (u / (1 + mu), v / (1 - mu)) with

        u^2 / (1 + mu)^2 - v^2 / (1 - mu)^2 = 2 slope,    -1 < mu < 1

    whose left side decreases in mu. If two points are equally close, the result is one of them.

    Args:
        w: the weights.
        slope: m of y = m x, not zero.
    """
    u, v = (w[0] + w[1]) / 2**0.5, (w[0] - w[1]) / 2**0.5

    def halve(_: Array, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        mu = (low + high) / 2
        above = (u / (1 + mu)) ** 2 - (v / (1 - mu)) ** 2 > 2 * slope
        return jnp.where(above, mu, low), jnp.where(above, high, mu)

    ends = jnp.full_like(u, -1), jnp.full_like(u, 1)
    low, high = jax.lax.fori_loop(0, HALVINGS, halve, ends)
    mu = (low + high) / 2
    # at mu = 1 or -1 one of the two quotients is 0 / 0; the hyperbola gives it from the other one
    near_u, near_v = u / (1 + jnp.maximum(mu, 0)), v / (1 - jnp.minimum(mu, 0))
    other_u = _signed_root(near_v**2 + 2 * slope, u)
    other_v = _signed_root(near_u**2 - 2 * slope, v)
    u, v = jnp.where(mu > 0, near_u, other_u), jnp.where(mu > 0, other_v, near_v)
    return jnp.stack([u + v, u - v]) / 2**0.5


class Alignment(NamedTuple):
    """Cosines (eq. A.1) of updates with the direction to the nearest minimum (figure 3.2)."""

    predictive_coding: Float[Array, ""]
    backpropagation: Float[Array, ""]
    trust_region_newton: Float[Array, ""]


def alignment(chain: LinearChain, w: Float[Array, " 2"], damping: float = 2.0) -> Alignment:
    """Return the alignment of updates from w with the direction to the loss's nearest minimum.

    Args:
        chain: the landscapes.
        w: the weights.
        damping: lambda of trust-region Newton on the loss.
    """
    optimal = nearest_minimum(w, chain.xy / chain.xx) - w
    loss = chain.loss_gradient(w)
    newton = damped_newton(chain.loss_hessian(w), loss, damping)
    return Alignment(
        _cosine(optimal, -chain.energy_gradient(w)),
        _cosine(optimal, -loss),
        _cosine(optimal, newton),
    )


def _signed_root(square: Array, sign: Array) -> Array:
    return jnp.where(sign < 0, -1, 1) * jnp.sqrt(jnp.maximum(square, 0))


def _cosine(a: Float[Array, " n"], b: Float[Array, " n"]) -> Float[Array, ""]:
    return a @ b / (jnp.linalg.norm(a) * jnp.linalg.norm(b))
