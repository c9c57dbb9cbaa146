"""Backpropagation, the baseline of predictive coding."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.relaxation import Scalar
from pccore.rules.base import LearningRule, NetworkT


@dataclass(frozen=True)
class Backpropagation(LearningRule):
    """The gradient of the loss of a forward pass; with muPC scalings, BP with Depth-muP."""

    @property
    def splits_batches(self) -> bool:
        return True

    def gradients(
        self,
        network: NetworkT,
        x: Float[Array, "B *D"],
        y: Float[Array, "B K"],
        activity_lr: Scalar,
        key: Array,
    ) -> tuple[Float[Array, ""], NetworkT]:

        def loss(network: NetworkT) -> Array:
            return jnp.mean(network.config.output_energy.per_sample(y, network.predict(x)))

        value, gradients = jax.value_and_grad(loss)(network)
        return value, gradients
