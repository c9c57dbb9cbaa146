"""The inference equilibrium of linear networks, where dF/dz = 0, in closed form."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.blocktridiagonal import BlockTridiagonal

if TYPE_CHECKING:
    from pccore.local import StackedRelaxation
    from pccore.networks import Network, NetworkConfig


def equilibrium(relaxation: "StackedRelaxation") -> Float[Array, "H B N"]:
    """The departure of z* = H_z^-1 b (thesis eq. 5.4).

    Raises:
        ValueError: an activation other than "linear", an output energy other than "mse", or
            activity decay with skips over several layers.
    """
    _require_linear(relaxation.network.config)
    if relaxation.network.config.activity_decay:
        return _by_blocks(relaxation)
    return _by_errors(relaxation)


def activity_hessian(network: "Network") -> BlockTridiagonal:
    """B d2F/dz2 of a linear network, the same for every sample, A_l = a_l W_l + tau I (C.9, C.19).

    Blocks (l, l) are (p_l + alpha) I + p_{l+1} A_{l+1}^T A_{l+1}, blocks (l, l-1) are -p_l A_l.

    Raises:
        ValueError: as `equilibrium`; or skips over several layers, which make it no tridiagonal.
    """
    config = network.config
    _require_linear(config)
    if config.skip > 1:
        raise ValueError(f"a block-tridiagonal activity Hessian needs skip 1, got {config.skip}")
    a, identity = config.scalings, jnp.eye(config.width, dtype=network.last.dtype)
    p = jnp.array(config.precisions or (1.0,) * (config.depth + 1), identity.dtype)
    between = a.hidden * network.hidden + (identity if config.residual else 0)
    last = a.last * network.last
    own = (p[:-1] + config.activity_decay)[:, None, None] * identity
    from_hidden = p[1:-1, None, None] * jnp.einsum("lmi,lmj->lij", between, between)
    from_output = p[-1] * (last.T @ last)
    curvature = jnp.concatenate([from_hidden, from_output[None]])
    return BlockTridiagonal(own + curvature, -p[1:-1, None, None] * between)


def _require_linear(config: "NetworkConfig") -> None:
    for key, value, needed in (
        ("activation", config.activation, "linear"),
        ("output", config.output, "mse"),
    ):
        if value != needed:
            raise ValueError(f"an exact equilibrium needs {key} {needed!r}, got {value!r}")


def _by_errors(relaxation: "StackedRelaxation") -> Float[Array, "H B N"]:
    """Without decay: two sweeps and a K x K system, O(H N^2 (B + K)).

    With J_l = d f_L / d e_l, the output's response to an error of layer l, all errors of a sample
    follow from its loss r = y - f(x), as in the derivation of eq. 4.5:

        e_l = J_l^T S^-1 r / p_l,    S = I / p_L + sum_l J_l J_l^T / p_l

    Nothing is subtracted, so this holds where H_z is too ill-conditioned to be factorised, as in
    deep residual networks under the standard parameterisation.
    """
    network, config = relaxation.network, relaxation.network.config
    start = relaxation.origin()

    def response(errors: Float[Array, "H 1 N"]) -> Float[Array, " K"]:
        top = relaxation.departure_of(errors)[-1, 0]
        return config.scalings.last * (network.last @ top)

    J = jax.jacrev(response)(jnp.zeros_like(start[:, :1]))[:, :, 0]
    p = jnp.array(config.precisions[:-1] or (1.0,) * config.depth, start.dtype)[:, None]
    K = config.output_size
    # S = R^T R by QR: the products J J^T would square the condition number
    rows = (J / jnp.sqrt(p)).reshape(K, -1).T
    own = jnp.eye(K, dtype=start.dtype) / config.output_precision**0.5
    R = jnp.linalg.qr(jnp.concatenate([own, rows]), mode="r")
    r = relaxation.y - network.readout(relaxation.start[-1])
    e_last = jax.scipy.linalg.cho_solve((R, False), r.T)
    errors = jnp.einsum("kln,kb->lbn", J / p, e_last)
    return relaxation.departure_of(errors)


def _by_blocks(relaxation: "StackedRelaxation") -> Float[Array, "H B N"]:
    """With decay: H_z d = -dF/dz by blocks, O(H N^3), and once more to refine it."""
    factors = activity_hessian(relaxation.network).factorise()

    def newton(_: int, departure: Array) -> Array:
        return departure - factors.solve(relaxation.gradient(departure))

    return jax.lax.fori_loop(0, 2, newton, relaxation.origin())
