"""Learning rules: where weight gradients come from."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.inference import InferenceScheme
from pccore.networks import Network


class LearningRule(Protocol):
    """Gives the weight gradients of one batch."""

    infers: ClassVar[bool]
    """Whether the rule has an inference phase, hence an activity learning rate."""

    def gradients(
        self,
        network: Network,
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Network]:
        """The training loss of the batch (of the forward pass, before learning) and dF/dW."""
        ...


@dataclass(frozen=True)
class PredictiveCoding:
    """Infer, then learn: the gradient of the energy at the inferred activities (eqs. 5.2, 5.3).

    Attributes:
        inference: how the activities relax.
    """

    inference: InferenceScheme
    infers: ClassVar[bool] = True

    def gradients(
        self, network: Network, x: Array, y: Array, activity_lr: Array
    ) -> tuple[Array, Network]:
        relaxation = network.relaxation(x, y)
        inferred = self.inference.infer(relaxation, activity_lr)
        return relaxation.loss(), relaxation.weight_gradients(inferred.departure)


@dataclass(frozen=True)
class Backpropagation:
    """The gradient of the loss of the forward pass; with muPC scalings, BP with Depth-muP."""

    infers: ClassVar[bool] = False

    def gradients(
        self, network: Network, x: Array, y: Array, activity_lr: Array
    ) -> tuple[Array, Network]:
        del activity_lr  # there is nothing to infer

        def loss(network: Network) -> Array:
            return jnp.mean(network.config.output_energy.per_sample(y, network.predict(x)))

        value, gradients = jax.value_and_grad(loss)(network)
        return value, gradients
