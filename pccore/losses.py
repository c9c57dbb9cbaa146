"""Output energies: what the clamped output costs, per sample, and the error it sends down."""

from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.registry import Registry


class OutputEnergy(Protocol):
    """The energy of the output layer, which is also the loss of the forward pass."""

    def per_sample(
        self, y: Float[Array, "*B K"], prediction: Float[Array, "*B K"]
    ) -> Float[Array, "*B"]:
        """Energy of each sample, summed over the K outputs."""
        ...

    def error(
        self, y: Float[Array, "*B K"], prediction: Float[Array, "*B K"]
    ) -> Float[Array, "*B K"]:
        """Minus the gradient of `per_sample` with respect to the prediction."""
        ...


class MeanSquaredError:
    """0.5 ||y - prediction||^2, summed (not averaged) over the K outputs (thesis eq. 5.1)."""

    def per_sample(self, y: Array, prediction: Array) -> Array:
        return 0.5 * jnp.sum((y - prediction) ** 2, axis=-1)

    def error(self, y: Array, prediction: Array) -> Array:
        return y - prediction


class CrossEntropy:
    """-sum_k y_k log softmax(prediction)_k: the prediction is a vector of logits (thesis C.4)."""

    def per_sample(self, y: Array, prediction: Array) -> Array:
        return -jnp.sum(y * jax.nn.log_softmax(prediction), axis=-1)

    def error(self, y: Array, prediction: Array) -> Array:
        return y - jnp.sum(y, axis=-1, keepdims=True) * jax.nn.softmax(prediction)


OUTPUTS: Registry[OutputEnergy] = Registry(
    "output energy", {"mse": MeanSquaredError(), "cross_entropy": CrossEntropy()}
)
