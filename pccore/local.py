"""Closed-form local gradients of the stacked network's energy: all layers in a few products.

The activities are written z_l = zbar_l + d_l: a forward pass, whose hidden errors are exactly zero,
and the departure from it. Then, per sample, with tau and a_l as in thesis eq. 5.1,

    e_l         =  d_l - tau d_{l-1} - a_l W_l [phi(zbar_{l-1} + d_{l-1}) - phi(zbar_{l-1})]
    B dF/dz_l   =  e_l - tau e_{l+1} - phi'(z_l) * a_{l+1} W_{l+1}^T e_{l+1}
    B dF/dW_l   = -a_l sum_i e_l phi(z_{l-1})^T

with d_0 = 0 and e_L the output error. Subtracting predictions from activities instead would leave
rounding noise of 1e-7 where a deep network's errors are far smaller, and Adam would scale it up.
Tested against automatic differentiation of `pccore.energy`.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.networks import Network


def errors(
    network: Network, departure: Float[Array, "m B N"], change: Float[Array, "m B N"]
) -> Float[Array, "m B N"]:
    """e_l of the top m hidden layers, when the layers below have not moved.

    Args:
        network: the weights.
        departure: d_l of the top m hidden layers.
        change: phi(zbar_l + d_l) - phi(zbar_l) of the same layers.
    """
    config = network.config
    W = network.hidden[config.depth - len(departure) :]
    passed_on = config.scalings.hidden * jnp.einsum("lbn,lmn->lbm", change[:-1], W)
    if config.residual:
        passed_on = passed_on + departure[:-1]
    return jnp.concatenate([departure[:1], departure[1:] - passed_on])


def activity_gradients(
    network: Network,
    start: Float[Array, "m B N"],
    departure: Float[Array, "m B N"],
    y: Float[Array, "B K"],
) -> Float[Array, "m B N"]:
    """B dF/dz_l of the top m hidden layers, when the layers below have not moved.

    Args:
        network: the weights.
        start: zbar_l, activities of a forward pass, of the top m hidden layers.
        departure: d_l of the same layers.
        y: the clamped output.
    """
    config = network.config
    a, W = config.scalings, network.hidden[config.depth - len(departure) :]
    change, slope = config.phi.respond(start, departure)
    e = errors(network, departure, change)
    e_last = config.output_energy.error(y, network.readout(start[-1] + departure[-1]))
    from_hidden = a.hidden * jnp.einsum("lbm,lmn->lbn", e[1:], W)
    feedback = slope * jnp.concatenate([from_hidden, a.last * (e_last @ network.last)[None]])
    if config.residual:
        feedback = feedback + jnp.concatenate([e[1:], jnp.zeros_like(e[:1])])
    return e - feedback


def weight_gradients(
    network: Network,
    z: Float[Array, "H B N"],
    e: Float[Array, "m B N"],
    x: Float[Array, "B D"],
    y: Float[Array, "B K"],
) -> Network:
    """dF/dW_l of every layer; exactly zero for those below the top m hidden layers.

    Args:
        network: the weights.
        z: activities.
        e: errors of the top m hidden layers; those below are zero.
        x: the clamped input.
        y: the clamped output.
    """
    config = network.config
    a, phi, B, untouched = config.scalings, config.phi.phi, len(x), config.depth - len(e)
    above_first = e if untouched else e[1:]
    below = phi(z[config.depth - 1 - len(above_first) : -1])
    hidden = jnp.einsum("lbm,lbn->lmn", above_first, below) * (-a.hidden / B)
    blank = jnp.zeros((len(network.hidden) - len(hidden), *network.hidden.shape[1:]), hidden.dtype)
    e_last = config.output_energy.error(y, network.readout(z[-1]))
    return Network(
        first=jnp.zeros_like(network.first) if untouched else e[0].T @ x * (-a.first / B),
        hidden=jnp.concatenate([blank, hidden]),
        last=e_last.T @ phi(z[-1]) * (-a.last / B),
        config=config,
    )
