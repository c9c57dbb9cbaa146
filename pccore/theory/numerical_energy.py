"""The energy that inference reaches, and the one that theory predicts (figure 4.1)."""

from dataclasses import dataclass, field
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.inference import AdaptiveFlow, InferenceScheme
from pccore.inference.base import norm, relative
from pccore.networks.stacked import Network
from pccore.theory.equilibrated import equilibrated_energy
from pccore.training.probe import Probe


@dataclass(frozen=True)
class NumericalEnergy(Probe[Network]):
    """Probe: F at the end of inference, and F* of eq. 4.5, for linear networks.

    Attributes:
        inference: the inference scheme, used with the run's beta; by default as in B.4.
    """

    inference: InferenceScheme = field(default_factory=AdaptiveFlow)
    source: ClassVar[str] = "thesis 4.4.1"

    def measure(
        self,
        network: Network,
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """Return `numerical_energy`, `equilibrated_energy` and `inference_residual`.

        The residual is ||dF/dz|| at the end relative to that at the forward pass.

        Raises:
            ValueError: the network's equilibrium has no closed form.
        """
        relaxation = network.relaxation(x, y)
        found = self.inference.infer(relaxation, activity_lr).departure
        size, scale = (norm(relaxation.gradient(d)) for d in (found, relaxation.origin()))
        return {
            "numerical_energy": jnp.sum(relaxation.energies(found)),
            "equilibrated_energy": equilibrated_energy(network, x, y),
            "inference_residual": relative(size, scale),
        }
