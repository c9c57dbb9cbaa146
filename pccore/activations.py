"""Activation functions phi, elementwise, by name: value, slope, and exact small changes.

Inference follows how activities depart from a forward pass. Deep in a network these departures are
far smaller than float32's rounding of the activities themselves, so phi(z + d) - phi(z) computed by
subtraction would be noise. Every activation therefore gives that difference in a form which is
accurate relative to its own size.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from pccore.registry import Registry


class Change(NamedTuple):
    """How an activation responds to a departure d from z.

    Attributes:
        change: phi(z + d) - phi(z), accurate relative to its own size (as far as float32 resolves
            phi', where phi saturates).
        slope: phi'(z + d); at a kink, the value that automatic differentiation takes.
    """

    change: Array
    slope: Array


class Activation(NamedTuple):
    """An elementwise nonlinearity.

    Attributes:
        phi: the function.
        respond: from z and a departure d of the same shape, the `Change`.
    """

    phi: Callable[[Array], Array]
    respond: Callable[[Array, Array], Change]


def _linear(z: Array, d: Array) -> Change:
    return Change(d, jnp.ones_like(d))


def _relu_change(z: Array, d: Array) -> Array:
    return jnp.maximum(d + jnp.minimum(z, 0), -jnp.maximum(z, 0))


def _relu(z: Array, d: Array) -> Change:
    return Change(_relu_change(z, d), (z + d > 0).astype(d.dtype))


def _leaky_relu(z: Array, d: Array) -> Change:
    change, slope = _relu(z, d)
    # jax.nn.leaky_relu takes the right-hand slope at 0
    slope = jnp.maximum(slope, (z + d == 0).astype(d.dtype))
    return Change(0.01 * d + 0.99 * change, 0.01 + 0.99 * slope)


def _hard_tanh(z: Array, d: Array) -> Change:
    change = _relu_change(z + 1, d) - _relu_change(z - 1, d)
    return Change(change, (jnp.abs(z + d) < 1).astype(d.dtype))


def _tanh(z: Array, d: Array) -> Change:
    after = jnp.tanh(z + d)
    return Change(jnp.tanh(d) * (1 - jnp.tanh(z) * after), 1 - after**2)


def _sigmoid(z: Array, d: Array) -> Change:
    change, slope = _tanh(z / 2, d / 2)
    return Change(change / 2, slope / 4)


def _silu(z: Array, d: Array) -> Change:
    change, slope = _sigmoid(z, d)
    after = jax.nn.sigmoid(z + d)
    return Change(d * after + z * change, after + (z + d) * slope)


def _softplus(z: Array, d: Array) -> Change:
    # log((1 + e^(z+d)) / (1 + e^z)), written so that neither a small nor a large d overflows
    up = jnp.log1p(jax.nn.sigmoid(z) * jnp.expm1(jnp.minimum(d, 1)))
    return Change(
        jnp.where(d < 1, up, jax.nn.softplus(z + d) - jax.nn.softplus(z)), jax.nn.sigmoid(z + d)
    )


def _exponential_tail(scale: float, alpha: float) -> Callable[[Array, Array], Change]:
    """ELU and SELU: scale z above 0, scale alpha (e^z - 1) below."""

    def respond(z: Array, d: Array) -> Change:
        above, after = _relu_change(z, d), jnp.minimum(z + d, 0)
        below = jnp.exp(jnp.minimum(z, 0)) * jnp.expm1(d - above)
        slope = jnp.where(z + d > 0, 1, alpha * jnp.exp(after))
        return Change(scale * (above + alpha * below), scale * slope)

    return respond


def _gelu_phi(z: Array) -> Array:
    return jax.nn.gelu(z, approximate=False)


def _gelu(z: Array, d: Array) -> Change:
    # z Phi(z) changes by d Phi(z + d) + z (Phi(z + d) - Phi(z)); the difference by a three-point
    # Gauss-Legendre rule on the density where d is small, exact to rounding there
    density, cdf = jax.scipy.stats.norm.pdf, jax.scipy.stats.norm.cdf
    after, spread = cdf(z + d), jnp.sqrt(0.15) * d
    middle = z + d / 2
    rule = (5 * density(middle - spread) + 8 * density(middle) + 5 * density(middle + spread)) / 18
    change = jnp.where(jnp.abs(d) < 0.02, d * rule, after - cdf(z))
    return Change(d * after + z * change, after + (z + d) * density(z + d))


_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    {
        "linear": Activation(lambda z: z, _linear),
        "tanh": Activation(jnp.tanh, _tanh),
        "relu": Activation(jax.nn.relu, _relu),
        "leaky_relu": Activation(jax.nn.leaky_relu, _leaky_relu),
        "elu": Activation(jax.nn.elu, _exponential_tail(1.0, 1.0)),
        "selu": Activation(jax.nn.selu, _exponential_tail(_SELU_SCALE, _SELU_ALPHA)),
        "gelu": Activation(_gelu_phi, _gelu),
        "silu": Activation(jax.nn.silu, _silu),
        "softplus": Activation(jax.nn.softplus, _softplus),
        "sigmoid": Activation(jax.nn.sigmoid, _sigmoid),
        "hard_tanh": Activation(jax.nn.hard_tanh, _hard_tanh),
    },
)
