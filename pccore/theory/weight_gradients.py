"""The size of the gradients that weights learn by: do they vanish near saddles? (figure B.5)"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
from jaxtyping import Array, Float

from pccore.inference.base import norm
from pccore.rules import LearningRule


@dataclass(frozen=True)
class WeightGradientNorm:
    """Probe: ||g||, the Euclidean norm over all weights of the gradient that a rule gives.

    Attributes:
        rule: of backpropagation it is the loss's gradient, of predictive coding that of the energy
            at the end of inference.
    """

    rule: LearningRule
    source: ClassVar[str] = "thesis fig. B.5"

    def measure(
        self,
        network: Any,
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """`weight_gradient_norm`; a start that draws at random always draws the same."""
        _, gradients = self.rule.gradients(network, x, y, activity_lr, jax.random.key(0))
        return {"weight_gradient_norm": norm(gradients)}
