"""Unsupervised predictive coding: the output is data, the input is latent."""

from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.inference import InferenceScheme
from pccore.jax_settings import PRNG
from pccore.networks.base import AbstractNetwork, NetworkT
from pccore.networks.clamping import clamp
from pccore.networks.general import SequenceRelaxation
from pccore.networks.layered import LayeredNetwork
from pccore.relaxation import Scalar
from pccore.rules.base import LearningRule


@dataclass(frozen=True)
class Unsupervised(LearningRule):
    """Predictive coding with only the output clamped (thesis chapter 2, section C.2.1).

    z_0 is a latent without a prior, inferred as in `pccore.complete(network, {-1: y}, ...)` from
    the same start for every sample. The loss is the reconstruction error, that of a forward pass
    from the inferred z_0, in training and on the test set. Inputs are not used:
    `pccore.data.latent` makes a data set without them.

    Attributes:
        inference: the inference scheme.
    """

    inference: InferenceScheme = field()
    infers: ClassVar[bool] = True
    infers_input: ClassVar[bool] = True

    def gradients(
        self,
        network: NetworkT,
        x: Float[Array, "B *D"] | None,
        y: Float[Array, "B K"],
        activity_lr: Scalar,
        key: Array,
    ) -> tuple[Float[Array, ""], NetworkT]:
        relaxation = _free_input(network, y)
        inferred = self.inference.drawing(key).infer(relaxation, activity_lr)
        latent = relaxation.nodes(inferred.departure)[0]
        energy = network.config.output_energy.per_sample(y, network.predict(latent))
        return jnp.mean(energy), inferred.weight_gradients(relaxation)

    def predict(
        self,
        network: AbstractNetwork,
        x: Float[Array, "B D"] | None,
        y: Float[Array, "B K"],
        activity_lr: Scalar,
    ) -> Float[Array, "B K"]:
        """Return the reconstructions of `y`. A random scheme always uses the same key."""
        relaxation = _free_input(network, y)
        scheme = self.inference.drawing(jax.random.key(0, impl=PRNG))
        departure = scheme.infer(relaxation, activity_lr).departure
        return network.predict(relaxation.nodes(departure)[0])


def _free_input(network: AbstractNetwork, y: Float[Array, "B K"]) -> SequenceRelaxation:
    if not isinstance(network, LayeredNetwork):
        raise ValueError(
            "unsupervised learning needs a network that is a sequence of layers, got "
            f"{type(network).__name__}"
        )
    return clamp(network, {-1: y})
