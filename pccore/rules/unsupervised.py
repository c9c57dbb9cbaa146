"""Unsupervised predictive coding: the output is data, and there is no input."""

from dataclasses import dataclass, field
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.inference import InferenceScheme
from pccore.networks.clamping import clamp
from pccore.rules.base import LearningRule, NetworkT


@dataclass(frozen=True)
class Unsupervised(LearningRule):
    """Clamp the output alone, infer z_0 too, then learn (thesis chapter 2, section C.2.1).

    z_0 is a latent without a prior, inferred as by `pccore.complete(network, {-1: y}, ...)`, from
    the same start for every sample. The loss is that of a forward pass from there: the error of
    reconstruction. Inputs are not used. The test loss and accuracy that `pccore.fit` reports are of
    a forward pass from the data set's inputs, and mean nothing here.

    Attributes:
        inference: how the activities relax.
    """

    inference: InferenceScheme = field()
    infers: ClassVar[bool] = True

    def gradients(
        self,
        network: NetworkT,
        x: Float[Array, "B *D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
        key: Array,
    ) -> tuple[Float[Array, ""], NetworkT]:
        relaxation = clamp(network, {-1: y})
        departure = self.inference.infer(relaxation, activity_lr).departure
        latent = relaxation.nodes(departure)[0]
        energy = network.config.output_energy.per_sample(y, network.predict(latent))
        return jnp.mean(energy), relaxation.weight_gradients(departure)
