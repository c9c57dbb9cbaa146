"""The energy of linear networks at the inference equilibrium, on which learning descends.

Minimised over the activities, F becomes the loss up to a K x K rescaling (Theorem 3.1),

    F* = (1/2B) sum_i r_i^T S^-1 r_i,      r = y - f(x)               (thesis eqs. 4.5, C.25)
    S  = I / p_L + sum_{l=1}^H J_l J_l^T / p_l                        (eq. C.26)

where J_l = a_L W_L prod_{k=l+1}^H (a_k W_k + tau I) is the response of the output to an error of
layer l.

Activity decay alpha is not in the thesis. With a free output the energy is minimal at
z_u = zbar - alpha H_u^-1 zbar, zbar the forward pass and H_u the Hessian without the output's term.
With C = a_L W_L and the output clamped again,

    F* = (1/2B) sum_i [ r_u^T S_u^-1 r_u + alpha zbar^T z_u ],        r_u = y - f_L(z_u)
    S_u = I / p_L + C H_u^-1 C^T

For alpha = 0 these are the formulas above, where H_u^-1 = sum of the responses to errors. By the
envelope theorem the gradient of F* is the weight gradient of predictive coding at its equilibrium.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.linalg import lapack
from pccore.networks import linear_solution
from pccore.networks.stacked import Network, StackedRelaxation
from pccore.spectrum import hessian_product
from pccore.theory.activity_hessian import blank_relaxation


class ExactActivities(NamedTuple):
    """The exact equilibrium of a batch.

    Attributes:
        activities: z*.
        residual: ||dF/dz|| at z*, relative to that at the forward pass; 0 if both are 0.
    """

    activities: Float[Array, "H B N"]
    residual: Float[Array, ""]


def exact_activities(
    network: Network,
    x: Float[Array, "B D"],
    y: Float[Array, "B K"],
    solver: Callable[[StackedRelaxation], Array] = linear_solution.solve,
) -> ExactActivities:
    """Return z* = H_z^-1 b of a linear network (eq. 5.4), in the memory of a few activities.

    Args:
        network: the weights.
        x: the clamped inputs.
        y: the clamped outputs.
        solver: one of `pccore.networks.linear_solution`; by default the best for the network.

    Raises:
        ValueError: the activation is not "linear", or the output energy is not "mse".
    """
    relaxation = network.relaxation(x, y)
    departure = solver(relaxation)
    size, scale = (
        jnp.linalg.norm(relaxation.gradient(d)) for d in (departure, relaxation.origin())
    )
    residual = jnp.where(size == 0, 0, size / scale)
    return ExactActivities(relaxation.activities(departure), residual)


def rescaling(network: Network) -> Float[Array, "K K"]:
    """Return S, or S_u with activity decay; differentiable in the weights.

    Raises:
        ValueError: the activation is not "linear", or the output energy is not "mse".
    """
    root = _rescaling_root(network)
    return root.T @ root


def equilibrated_energy(
    network: Network, x: Float[Array, "B D"], y: Float[Array, "B K"]
) -> Float[Array, ""]:
    """Return F*. It is differentiable in the weights, for training without inference.

    Raises:
        ValueError: the activation is not "linear", or the output energy is not "mse".
    """
    root = _rescaling_root(network)
    alpha, forward = network.config.activity_decay, network.forward(x)
    if not alpha:
        return _form(root, y - network.readout(forward[-1]))
    free = forward - alpha * _free_solve(network, forward)
    own = 0.5 * alpha * jnp.sum(forward * free) / len(x)
    return _form(root, y - network.readout(free[-1])) + own


def _form(root: Float[Array, "K K"], r: Float[Array, "B K"]) -> Float[Array, ""]:
    """Return (1/2B) sum r^T S^-1 r, where S = R^T R."""
    return 0.5 * jnp.sum(lapack.solve_lower(root.T, r.T) ** 2) / len(r)


def _rescaling_root(network: Network) -> Float[Array, "K K"]:
    """Return the upper triangular R with S = R^T R."""
    config = network.config
    linear_solution.require_linear(config)
    if not config.activity_decay:
        return linear_solution.rescaling(blank_relaxation(network)).root
    C = config.scalings.last * network.last
    loads = jnp.zeros((config.depth, *C.shape), C.dtype).at[-1].set(C)
    S = C @ _free_solve(network, loads)[-1].T
    own = jnp.eye(len(C), dtype=C.dtype) / config.output_precision
    return lapack.cholesky(S + own).T


def _free_solve(network: Network, b: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
    """Return H_u^-1 b, which includes decay but not the output's term."""
    if network.config.stride == 1:
        return linear_solution.activity_hessian(network, clamped=False).factorise().solve(b)
    silent = replace(network, last=jnp.zeros_like(network.last))
    product = hessian_product(blank_relaxation(silent, b.shape[1]))
    return linear_solution.conjugate_gradients(product, b)
