"""Backpropagation, the baseline of predictive coding."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore import native
from pccore.networks.base import AbstractNetworkConfig, NetworkT
from pccore.relaxation import Scalar
from pccore.rules.base import LearningRule


@dataclass(frozen=True)
class Backpropagation(LearningRule):
    """The gradient of the loss of a forward pass; with muPC scalings, BP with Depth-muP."""

    @property
    def splits_batches(self) -> bool:
        return True

    def path(self, network: AbstractNetworkConfig) -> str:
        return native.path(network, None)

    def gradients(
        self,
        network: NetworkT,
        x: Float[Array, "B *D"],
        y: Float[Array, "B K"],
        activity_lr: Scalar,
        key: Array,
    ) -> tuple[Float[Array, ""], NetworkT]:
        def loss(network: NetworkT, x: Array, y: Array) -> Array:
            return jnp.mean(network.config.output_energy.per_sample(y, network.predict(x)))

        def by_xla(
            network: NetworkT, x: Array, y: Array, activity_lr: Scalar
        ) -> tuple[Array, NetworkT]:
            return jax.value_and_grad(loss)(network, x, y)

        return native.gradients(by_xla, network, None, x, y, activity_lr)
