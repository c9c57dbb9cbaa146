"""Backpropagation, the baseline."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Backpropagation:
    """The gradient of the loss of the forward pass; with muPC scalings, BP with Depth-muP."""

    infers: ClassVar[bool] = False
    splits_batches: ClassVar[bool] = True

    def gradients(
        self,
        network: Any,
        x: Float[Array, "B *D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
        key: Array,
    ) -> tuple[Float[Array, ""], Any]:
        def loss(network: Any) -> Array:
            return jnp.mean(network.config.output_energy.per_sample(y, network.predict(x)))

        value, gradients = jax.value_and_grad(loss)(network)
        return value, gradients
