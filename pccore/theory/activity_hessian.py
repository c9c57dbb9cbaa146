"""The activity Hessian of any network, per sample B d2F/dz2, as an operator and its inverse.

With A_l = a_l W_l diag(phi'(z_{l-1})) + tau I and e_l the errors, weighted by their precisions,

    H_z = that of the linear network with these A_l
          - diag(phi''(z_l) * a_{l+1} W_{l+1}^T e_{l+1})                           on block (l, l)

which is the derivative of the gradient in `pccore.networks.local`. Its products are in
`pccore.spectrum`. Thesis eqs. 5.5, C.19 and C.20
are the linear case. The second term can make H_z indefinite. It vanishes for piecewise linear phi.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pccore.linalg import lapack
from pccore.linalg.blocktridiagonal import BlockTridiagonal
from pccore.networks.base import AbstractNetwork
from pccore.networks.linear_solution import tridiagonal
from pccore.networks.stacked import Network, StackedRelaxation
from pccore.relaxation import Departure, Relaxation
from pccore.theory.riccati import Riccati

PIECEWISE_LINEAR = frozenset({"linear", "relu", "leaky_relu", "hard_tanh"})
"""Activations with phi'' = 0 except at kinks."""


def relaxation_of(
    network: AbstractNetwork, x: Float[Array, "B *D"] | None, y: Float[Array, "B *K"] | None
) -> Relaxation[PyTree]:
    """Return the relaxation of a batch, or of one blank sample if the Hessian is constant.

    Raises:
        ValueError: x or y is missing for a network whose Hessian depends on them.
    """
    if is_quadratic(network):
        return blank_relaxation(network)
    if x is None or y is None:
        raise ValueError("the activity Hessian of a nonlinear network needs x and y")
    return network.relaxation(x, y)


def blank_relaxation(network: Network, samples: int = 1) -> StackedRelaxation:
    """Return the relaxation of samples with zero input and output.

    Without biases its gradient is the product with the Hessian.
    """
    config, dtype = network.config, network.last.dtype
    sizes = config.input_size, config.output_size
    return network.relaxation(*(jnp.zeros((samples, size), dtype) for size in sizes))


def is_quadratic(network: AbstractNetwork) -> TypeGuard[Network]:
    """Return whether the energy is known to be quadratic in the activities (constant Hessian)."""
    if not isinstance(network, Network):
        return False
    return network.config.activation == "linear" and network.config.output == "mse"


class ShiftedInverse(NamedTuple):
    """(H_z - shift I)^-1 of one sample.

    Attributes:
        solve: the product of the inverse with a departure.
        shift: the shift, in units of H_z's eigenvalues.
        rounding: error of the eigenvalues of H_z that the inverse gives, relative to the largest
            one; 0 if they are accurate relative to their own size.
    """

    solve: Callable[[Float[Array, "H 1 N"]], Float[Array, "H 1 N"]]
    shift: float
    rounding: float


def shifted_inverse(
    relaxation: Relaxation[Departure], departure: Departure | None = None
) -> ShiftedInverse | None:
    """Return the shifted inverse for one sample, or None if no factorisation is known.

    `Riccati` solves piecewise linear activations in O(H K N^2), with activity decay as the shift.
    Other activations need O(H N^3), by blocks, and skips over one layer at most.

    Args:
        relaxation: the energy of one sample.
        departure: the point of the Hessian; None is the start.
    """
    if not isinstance(relaxation, StackedRelaxation):
        return None
    config = relaxation.network.config
    d = relaxation.origin() if departure is None else departure
    if config.activation in PIECEWISE_LINEAR:
        _, slope = config.phi.respond(relaxation.start, d)
        factors = Riccati.of(relaxation.network, slope[:, 0], curvature_root(relaxation, d))
        return ShiftedInverse(factors.solve, config.activity_decay, 0.0)
    if config.stride > 1:
        return None
    blocks = hessian_blocks(relaxation, d).factorise(definite=False)
    return ShiftedInverse(blocks.solve, 0.0, float(jnp.finfo(d.dtype).eps))


def hessian_blocks(
    relaxation: StackedRelaxation, departure: Float[Array, "H B N"] | None = None
) -> BlockTridiagonal:
    """Return H_z of the first sample at a departure (None is the start).

    Raises:
        ValueError: skips span several layers, so that H_z is not tridiagonal.
    """
    network, config = relaxation.network, relaxation.network.config
    if config.stride > 1:
        raise ValueError(f"a block-tridiagonal activity Hessian needs skip 1, got {config.skip}")
    d = relaxation.origin() if departure is None else departure
    a = config.scalings
    e = relaxation.hidden_precisions(d.dtype) * relaxation.errors_of(d)
    from_hidden = a.hidden * jnp.einsum("lbm,lmn->lbn", e[1:], network.hidden)
    from_above = jnp.concatenate([from_hidden, relaxation.output_feedback(d)[None]])

    def slope(d: Array) -> Array:
        return config.phi.respond(relaxation.start, d).slope

    slopes, bends = jax.jvp(slope, (d,), (jnp.ones_like(d),))
    between = a.hidden * network.hidden * slopes[:-1, 0, None]
    if config.residual:
        between = between + jnp.eye(config.width, dtype=d.dtype)
    output = a.last * (curvature_root(relaxation, d) @ network.last) * slopes[-1, 0]
    blocks = tridiagonal(config, between, output)
    bent = jax.vmap(jnp.diag)((bends * from_above)[:, 0])
    return BlockTridiagonal(blocks.diagonal - bent, blocks.below)


def curvature_root(relaxation: StackedRelaxation, departure: Array) -> Float[Array, "K K"]:
    """Return Q with Q^T Q = p_L d2E/dg2 of the first sample, g the prediction; E is convex."""
    config, dtype = relaxation.network.config, departure.dtype
    if config.output == "mse":
        return config.output_precision**0.5 * jnp.eye(config.output_size, dtype=dtype)
    y, prediction = relaxation.y[0], relaxation.prediction(departure)[0]
    curvature = jax.hessian(config.output_energy.per_sample, argnums=1)(y, prediction)
    values, vectors = lapack.eigh(config.output_precision * curvature)
    return jnp.sqrt(jnp.maximum(values, 0))[:, None] * vectors.T
