"""Descent near a critical point, to second order (thesis A.2, eqs. A.10-A.12).

With distance d from the critical point along an eigenvector of eigenvalue lambda,

    d_t = (1 - eta lambda)^t d_0   by steps,     d(t) = exp(-lambda t) d_0   by gradient flow.
"""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real


def descent_trajectory(
    hessian: Float[Array, "n n"],
    departure: Float[Array, " n"],
    weight_lr: float,
    steps: Real[ArrayLike, "*t"],
) -> Float[Array, "*t n"]:
    """Return the departure after t steps of gradient descent, for every t in `steps` (A.11)."""
    values, vectors = jnp.linalg.eigh(hessian)
    growth = (1 - weight_lr * values) ** jnp.asarray(steps)[..., None]
    return (growth * (vectors.T @ departure)) @ vectors.T


def flow_trajectory(
    hessian: Float[Array, "n n"], departure: Float[Array, " n"], times: Real[ArrayLike, "*t"]
) -> Float[Array, "*t n"]:
    """Return the departure after a time t of gradient flow, for every t in `times` (A.12)."""
    values, vectors = jnp.linalg.eigh(hessian)
    growth = jnp.exp(-values * jnp.asarray(times)[..., None])
    return (growth * (vectors.T @ departure)) @ vectors.T


def escape_steps(
    curvature: Float[ArrayLike, ""], weight_lr: float, distance: float, radius: float
) -> Float[Array, ""]:
    """Return the steps in which a distance along a negative curvature grows to a radius.

    The result is infinite for zero curvature: to second order, descent does not leave a saddle that
    is not strict.
    """
    return jnp.log(radius / distance) / jnp.log1p(-weight_lr * curvature)


def damped_newton(
    hessian: Float[Array, "n n"], gradient: Float[Array, " n"], damping: float
) -> Float[Array, " n"]:
    """Return -(H + lambda I)^-1 g, the step of trust-region Newton (3.3.2)."""
    identity = jnp.eye(len(gradient), dtype=gradient.dtype)
    return -jnp.linalg.solve(hessian + damping * identity, gradient)
