"""A fully connected layer."""

from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, Float


class Layer(eqx.Module):
    """f(z) = a W phi(z) + b + tau z (thesis eq. 5.1). The activation comes before the weights.

    Attributes:
        weight: W.
        bias: b, or None.
        scale: the premultiplier a.
        phi: the activation function.
        skip: whether the layer adds its input to its output (tau = 1).
    """

    weight: Float[Array, "N_out N_in"]
    bias: Float[Array, " N_out"] | None
    scale: float = eqx.field(static=True)
    phi: Callable[[Array], Array] = eqx.field(static=True)
    skip: bool = eqx.field(static=True)

    def __call__(self, z: Float[Array, "*B N_in"]) -> Float[Array, "*B N_out"]:
        """Predict the activities of the next layer."""
        prediction = self.scale * (self.phi(z) @ self.weight.T)
        if self.bias is not None:
            prediction = prediction + self.bias
        return prediction + z if self.skip else prediction
