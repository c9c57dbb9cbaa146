"""Unsupervised predictive coding: the output is data, the input is latent."""

from dataclasses import dataclass, field
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.inference import InferenceScheme
from pccore.networks.clamping import clamp
from pccore.networks.layered import LayeredNetwork
from pccore.relaxation import Scalar
from pccore.rules.base import LearningRule, NetworkT


@dataclass(frozen=True)
class Unsupervised(LearningRule):
    """Predictive coding with only the output clamped (thesis chapter 2, section C.2.1).

    z_0 is a latent without a prior, inferred as in `pccore.complete(network, {-1: y}, ...)` from
    the same start for every sample. The loss is the reconstruction error, that of a forward pass
    from the inferred z_0. Inputs are not used: the test loss and accuracy of `pccore.fit`, which
    are of a forward pass from the data set's inputs, are meaningless.

    Attributes:
        inference: the inference scheme.
    """

    inference: InferenceScheme = field()
    infers: ClassVar[bool] = True

    def gradients(
        self,
        network: NetworkT,
        x: Float[Array, "B *D"] | None,
        y: Float[Array, "B K"],
        activity_lr: Scalar,
        key: Array,
    ) -> tuple[Float[Array, ""], NetworkT]:
        if not isinstance(network, LayeredNetwork):
            raise ValueError(
                "unsupervised learning needs a network that is a sequence of layers, got "
                f"{type(network).__name__}"
            )
        relaxation = clamp(network, {-1: y})
        inferred = self.inference.infer(relaxation, activity_lr)
        latent = relaxation.nodes(inferred.departure)[0]
        energy = network.config.output_energy.per_sample(y, network.predict(latent))
        return jnp.mean(energy), inferred.weight_gradients(relaxation)
