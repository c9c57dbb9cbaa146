"""The energy at the inference equilibrium of linear networks: the landscape that is learned on.

Minimised over the activities, F becomes the loss but for a K x K rescaling (Theorem 3.1),

    F* = (1/2B) sum_i r_i^T S^-1 r_i,      r = y - f(x)               (thesis eqs. 4.5, C.25)
    S  = I / p_L + sum_{l=1}^H J_l J_l^T / p_l                        (eq. C.26)

J_l being the output's response to an error of layer l: a_L W_L prod_{k=l+1}^H (a_k W_k + tau I).

With activity decay alpha, not in the documents, let the output go free: what is left is minimal at
z_u = zbar - alpha H_u^-1 zbar, zbar the forward pass and H_u the Hessian without the output's term.
With C = a_L W_L and the output clamped again,

    F* = (1/2B) sum_i [ r_u^T S_u^-1 r_u + alpha zbar^T z_u ],        r_u = y - f_L(z_u)
    S_u = I / p_L + C H_u^-1 C^T

which is the above for alpha = 0, where H_u^-1 = sum of the responses to errors. By the envelope
theorem the gradient of F* is the weight gradient of predictive coding at its equilibrium.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.linalg import lapack
from pccore.networks import linear_solution
from pccore.networks.local import StackedRelaxation
from pccore.networks.stacked import Network
from pccore.theory.activity_hessian import blank_relaxation, hessian_product


class ExactActivities(NamedTuple):
    """Exact activities of a batch.

    Attributes:
        activities: z*.
        residual: ||dF/dz|| there, relative to that at the forward pass; 0 where both are.
    """

    activities: Float[Array, "H B N"]
    residual: Float[Array, ""]


def exact_activities(
    network: Network,
    x: Float[Array, "B D"],
    y: Float[Array, "B K"],
    solver: Callable[[StackedRelaxation], Array] = linear_solution.solve,
) -> ExactActivities:
    """z* = H_z^-1 b of a linear network (eq. 5.4), in the memory of some sets of activities.

    Args:
        network: its weights.
        x: the clamped inputs.
        y: the clamped outputs.
        solver: one of `pccore.networks.linear_solution`; by default the best for the network.

    Raises:
        ValueError: an activation other than "linear", or an output energy other than "mse".
    """
    relaxation = network.relaxation(x, y)
    departure = solver(relaxation)
    size, scale = (
        jnp.linalg.norm(relaxation.gradient(d)) for d in (departure, relaxation.origin())
    )
    residual = jnp.where(size == 0, 0, size / scale)
    return ExactActivities(relaxation.activities(departure), residual)


def rescaling(network: Network) -> Float[Array, "K K"]:
    """S, or S_u with activity decay; differentiable in the weights.

    Raises:
        ValueError: an activation other than "linear", or an output energy other than "mse".
    """
    root = _rescaling_root(network)
    return root.T @ root


def equilibrated_energy(
    network: Network, x: Float[Array, "B D"], y: Float[Array, "B K"]
) -> Float[Array, ""]:
    """F*, differentiable in the weights: a network can be trained on it, without inference.

    Raises:
        ValueError: an activation other than "linear", or an output energy other than "mse".
    """
    root = _rescaling_root(network)
    alpha, forward = network.config.activity_decay, network.forward(x)
    if not alpha:
        return _form(root, y - network.readout(forward[-1]))
    free = forward - alpha * _free_solve(network, forward)
    own = 0.5 * alpha * jnp.sum(forward * free) / len(x)
    return _form(root, y - network.readout(free[-1])) + own


def _form(root: Float[Array, "K K"], r: Float[Array, "B K"]) -> Float[Array, ""]:
    """(1/2B) sum r^T S^-1 r, S = R^T R."""
    return 0.5 * jnp.sum(lapack.solve_lower(root.T, r.T) ** 2) / len(r)


def _rescaling_root(network: Network) -> Float[Array, "K K"]:
    """Upper triangular R with S = R^T R."""
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
    """H_u^-1 b: without the output's term, but with decay."""
    if network.config.stride == 1:
        return linear_solution.activity_hessian(network, clamped=False).factorise().solve(b)
    silent = replace(network, last=jnp.zeros_like(network.last))
    product = hessian_product(blank_relaxation(silent, b.shape[1]))
    return linear_solution.conjugate_gradients(product, b)
