"""A layer of a stack."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.linear_maps import Dense, LinearMap


class Layer(eqx.Module):
    """f(z) = a W phi(z) + b + tau z (thesis eq. 5.1). The activation comes before the weights.

    Attributes:
        weight: W.
        bias: b, or None.
        scale: the premultiplier a.
        phi: the activation function.
        skip: whether the layer adds its input to its output (tau = 1).
        linear: what W multiplies.
    """

    weight: Float[Array, "M F"]
    bias: Float[Array, " M"] | None
    scale: float = eqx.field(static=True)
    phi: Callable[[Array], Array] = eqx.field(static=True)
    skip: bool = eqx.field(static=True)
    linear: LinearMap = eqx.field(static=True, default=Dense())

    def __call__(self, z: Float[Array, "*B N_in"]) -> Float[Array, "*B N_out"]:
        """Predict the activities of the next layer."""
        prediction = self.scale * self.linear.apply(self.weight, self.phi(z))
        if self.bias is not None:
            prediction = prediction + jnp.tile(self.bias, self.linear.places)
        return prediction + z if self.skip else prediction


class WeightsFirstLayer(eqx.Module):
    """f(z) = phi(a W z + b) + tau z (thesis eq. 2.1): the activation comes after the weights.

    Attributes:
        weight: W.
        bias: b, or None.
        scale: the premultiplier a.
        phi: the activation function; the identity in the last layer.
        skip: whether the layer adds its input to its output (tau = 1).
    """

    weight: Float[Array, "M N"]
    bias: Float[Array, " M"] | None
    scale: float = eqx.field(static=True)
    phi: Callable[[Array], Array] = eqx.field(static=True)
    skip: bool = eqx.field(static=True)

    def __call__(self, z: Float[Array, "*B N"]) -> Float[Array, "*B M"]:
        """Predict the activities of the next layer."""
        seen = self.scale * (z @ self.weight.T)
        prediction = self.phi(seen if self.bias is None else seen + self.bias)
        return prediction + z if self.skip else prediction
