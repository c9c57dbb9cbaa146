"""The norm of weight gradients, which vanish near saddles (figure B.5)."""

from dataclasses import dataclass
from typing import ClassVar

import jax
from jaxtyping import Array, Float

from pccore.inference.base import norm
from pccore.networks.base import AbstractNetwork
from pccore.rules import LearningRule


@dataclass(frozen=True)
class WeightGradientNorm:
    """Probe: ||g||, the Euclidean norm over all weights of the gradient of a learning rule.

    Attributes:
        rule: the learning rule. Backpropagation gives the gradient of the loss, predictive coding
            that of the energy at the end of inference.
    """

    rule: LearningRule
    source: ClassVar[str] = "thesis fig. B.5"

    def measure(
        self,
        network: AbstractNetwork,
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """Return `weight_gradient_norm`. A random start always uses the same key."""
        _, gradients = self.rule.gradients(network, x, y, activity_lr, jax.random.key(0))
        return {"weight_gradient_norm": norm(gradients)}
