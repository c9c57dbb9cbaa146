"""Activation functions phi, elementwise, by name: value, slope, and exact small changes.

Inference computes how far activities depart from a forward pass. Deep in a network these departures
are far smaller than float32's rounding of the activities themselves, so that phi(z + d) - phi(z) by
subtraction would be noise. Every activation therefore computes this difference in a form that is
accurate relative to its own size.
"""

from inspect import isabstract

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pccore.elementwise import Activation, Change, FunctionActivation, require_elementwise
from pccore.registry import Registry, kind_of


class Linear(Activation):
    def phi(self, z: Array) -> Array:
        return z

    def respond(self, z: Array, d: Array) -> Change:
        return Change(d, jnp.ones_like(d))


class Tanh(Activation):
    def phi(self, z: Array) -> Array:
        return jnp.tanh(z)

    def respond(self, z: Array, d: Array) -> Change:
        after = jnp.tanh(z + d)
        return Change(jnp.tanh(d) * (1 - jnp.tanh(z) * after), 1 - after**2)


class ReLU(Activation):
    def phi(self, z: Array) -> Array:
        return jax.nn.relu(z)

    def respond(self, z: Array, d: Array) -> Change:
        return Change(_relu_change(z, d), (z + d > 0).astype(d.dtype))


class LeakyReLU(Activation):
    def phi(self, z: Array) -> Array:
        return jax.nn.leaky_relu(z)

    def respond(self, z: Array, d: Array) -> Change:
        slope = (z + d > 0).astype(d.dtype)
        # jax.nn.leaky_relu takes the right-hand slope at 0
        slope = jnp.maximum(slope, (z + d == 0).astype(d.dtype))
        return Change(0.01 * d + 0.99 * _relu_change(z, d), 0.01 + 0.99 * slope)


class HardTanh(Activation):
    def phi(self, z: Array) -> Array:
        return jax.nn.hard_tanh(z)

    def respond(self, z: Array, d: Array) -> Change:
        change = _relu_change(z + 1, d) - _relu_change(z - 1, d)
        return Change(change, (jnp.abs(z + d) < 1).astype(d.dtype))


class Sigmoid(Activation):
    def phi(self, z: Array) -> Array:
        return jax.nn.sigmoid(z)

    def respond(self, z: Array, d: Array) -> Change:
        change, slope = Tanh().respond(z / 2, d / 2)
        return Change(change / 2, slope / 4)


class SiLU(Activation):
    def phi(self, z: Array) -> Array:
        return jax.nn.silu(z)

    def respond(self, z: Array, d: Array) -> Change:
        change, slope = Sigmoid().respond(z, d)
        after = jax.nn.sigmoid(z + d)
        return Change(d * after + z * change, after + (z + d) * slope)


class Softplus(Activation):
    def phi(self, z: Array) -> Array:
        return jax.nn.softplus(z)

    def respond(self, z: Array, d: Array) -> Change:
        # log((1 + e^(z+d)) / (1 + e^z)), written so that neither a small nor a large d overflows
        up = jnp.log1p(jax.nn.sigmoid(z) * jnp.expm1(jnp.minimum(d, 1)))
        return Change(
            jnp.where(d < 1, up, jax.nn.softplus(z + d) - jax.nn.softplus(z)),
            jax.nn.sigmoid(z + d),
        )


class ELU(Activation):
    def phi(self, z: Array) -> Array:
        return jax.nn.elu(z)

    def respond(self, z: Array, d: Array) -> Change:
        return _exponential_tail(z, d, scale=1.0, alpha=1.0)


class SELU(Activation):
    def phi(self, z: Array) -> Array:
        return jax.nn.selu(z)

    def respond(self, z: Array, d: Array) -> Change:
        return _exponential_tail(z, d, scale=1.0507009873554805, alpha=1.6732632423543772)


class GELU(Activation):
    """z Phi(z), Phi the normal distribution function (not its tanh approximation)."""

    def phi(self, z: Array) -> Array:
        return jax.nn.gelu(z, approximate=False)

    def respond(self, z: Array, d: Array) -> Change:
        # z Phi(z) changes by d Phi(z + d) + z (Phi(z + d) - Phi(z)). The last difference comes
        # from a three-point Gauss-Legendre rule on the density where d is small, exact to rounding.
        density, cdf = jax.scipy.stats.norm.pdf, jax.scipy.stats.norm.cdf
        after, spread = cdf(z + d), jnp.sqrt(0.15) * d
        middle = z + d / 2
        outer = 5 * density(middle - spread) + 8 * density(middle) + 5 * density(middle + spread)
        rule = outer / 18
        change = jnp.where(jnp.abs(d) < 0.02, d * rule, after - cdf(z))
        return Change(d * after + z * change, after + (z + d) * density(z + d))


def adopt(thing: object) -> Activation:
    """Return the activation that a user's function or object is.

    Raises:
        ValueError: it is neither an `Activation` nor an elementwise, differentiable function.
    """
    if isinstance(thing, type) and issubclass(thing, Activation):
        if isabstract(thing):
            missing = ", ".join(sorted(thing.__abstractmethods__))
            raise ValueError(f"is a subclass of pccore.Activation without {missing}")
        thing = thing()
    if isinstance(thing, Activation):
        require_elementwise(thing.phi)
        return thing
    if isinstance(thing, type) or not callable(thing):
        raise ValueError(f"must be a function of an array or a pccore.Activation, {kind_of(thing)}")
    require_elementwise(thing)
    return FunctionActivation(thing)


ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    {
        "linear": Linear(),
        "tanh": Tanh(),
        "relu": ReLU(),
        "leaky_relu": LeakyReLU(),
        "elu": ELU(),
        "selu": SELU(),
        "gelu": GELU(),
        "silu": SiLU(),
        "softplus": Softplus(),
        "sigmoid": Sigmoid(),
        "hard_tanh": HardTanh(),
    },
    adopt,
)
"""Activations by name."""


def _relu_change(z: Array, d: Array) -> Array:
    return jnp.maximum(d + jnp.minimum(z, 0), -jnp.maximum(z, 0))


def _exponential_tail(z: Array, d: Array, scale: float, alpha: float) -> Change:
    """Return the change of ELU and SELU: scale z above 0, scale alpha (e^z - 1) below."""
    above, after = _relu_change(z, d), jnp.minimum(z + d, 0)
    below = jnp.exp(jnp.minimum(z, 0)) * jnp.expm1(d - above)
    slope = jnp.where(z + d > 0, 1, alpha * jnp.exp(after))
    return Change(scale * (above + alpha * below), scale * slope)
