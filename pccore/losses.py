"""Output energies: the cost of the clamped output per sample, and the error it sends down."""

from abc import ABC, abstractmethod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.registry import Registry


class OutputEnergy(ABC):
    """The energy of the output layer, which is also the loss of the forward pass."""

    @abstractmethod
    def per_sample(
        self, y: Float[Array, "*B K"], prediction: Float[Array, "*B K"]
    ) -> Float[Array, "*B"]:
        """Return the energy of each sample, summed over the K outputs."""

    @abstractmethod
    def error(
        self, y: Float[Array, "*B K"], prediction: Float[Array, "*B K"]
    ) -> Float[Array, "*B K"]:
        """Return minus the gradient of `per_sample` with respect to the prediction."""


class MeanSquaredError(OutputEnergy):
    """0.5 ||y - prediction||^2, summed (not averaged) over the K outputs (thesis eq. 5.1)."""

    def per_sample(
        self, y: Float[Array, "*B K"], prediction: Float[Array, "*B K"]
    ) -> Float[Array, "*B"]:
        return 0.5 * jnp.sum((y - prediction) ** 2, axis=-1)

    def error(
        self, y: Float[Array, "*B K"], prediction: Float[Array, "*B K"]
    ) -> Float[Array, "*B K"]:
        return y - prediction


class CrossEntropy(OutputEnergy):
    """-sum_k y_k log softmax(prediction)_k: the prediction is a vector of logits.

    Used for CIFAR-10 in the published code of the thesis's experiments, not in the thesis.
    """

    def per_sample(
        self, y: Float[Array, "*B K"], prediction: Float[Array, "*B K"]
    ) -> Float[Array, "*B"]:
        return -jnp.sum(y * jax.nn.log_softmax(prediction), axis=-1)

    def error(
        self, y: Float[Array, "*B K"], prediction: Float[Array, "*B K"]
    ) -> Float[Array, "*B K"]:
        return y - jnp.sum(y, axis=-1, keepdims=True) * jax.nn.softmax(prediction)


OUTPUTS: Registry[OutputEnergy] = Registry(
    "output energy", {"mse": MeanSquaredError(), "cross_entropy": CrossEntropy()}
)
"""Output energies by name."""
