"""Equilibrium propagation: the contrast of a nudged and a free equilibrium."""

from dataclasses import dataclass, field
from typing import ClassVar

import jax
from jaxtyping import Array, Float

from pccore.inference import InferenceScheme
from pccore.networks.base import NetworkT
from pccore.networks.hopfield import HopfieldNetwork
from pccore.relaxation import Scalar
from pccore.rules.base import LearningRule
from pccore.validation import require_positive


@dataclass(frozen=True)
class EquilibriumPropagation(LearningRule):
    """The contrast of two equilibria of the energy E (thesis C.2.5; Scellier and Bengio, 2017).

    With z(b) the equilibrium under nudge b, reached from the free one z(0), the gradient is

        [dE/dW at z(nudge) - dE/dW at z(0)] / nudge                     one-sided, error O(nudge)
        [dE/dW at z(nudge) - dE/dW at z(-nudge)] / (2 nudge)            symmetric, error O(nudge^2)

    which converges to the gradient of the loss C(y, z_L(0)) as the nudge goes to zero, if inference
    reaches the equilibria. E need not be convex: see `pccore.HopfieldConfig`. Descent is stable if
    beta/B is below 2 / lambda_max of E's Hessian.

    Attributes:
        inference: the inference scheme of each phase.
        nudge: the weight of C in the nudged phase, small enough for the limit and large enough for
            a difference above the rounding of float32.
        symmetric: whether to nudge in both directions, which takes a third phase.

    Raises:
        ValueError: the nudge is not positive; inference draws noise; or, in `gradients`, the
            network is not a `HopfieldNetwork`.
    """

    inference: InferenceScheme = field()
    nudge: float = 0.5
    symmetric: bool = True
    infers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(self, "nudge")
        if self.inference.draws:
            raise ValueError(
                "equilibrium propagation contrasts two equilibria, which noise does not reach: it "
                f"needs inference without noise, got {self.inference}"
            )

    def gradients(
        self,
        network: NetworkT,
        x: Float[Array, "B *D"],
        y: Float[Array, "B K"],
        activity_lr: Scalar,
        key: Array,
    ) -> tuple[Float[Array, ""], NetworkT]:
        """Return the loss of the free equilibrium and the contrast."""
        if not isinstance(network, HopfieldNetwork):
            raise ValueError(
                "equilibrium propagation trains the network of a HopfieldConfig, got "
                f"{type(network).__name__}"
            )
        free = network.relaxation(x, y, 0.0)
        settled = self.inference.infer(free, activity_lr).departure

        def slopes(nudge: float) -> HopfieldNetwork:
            nudged = network.relaxation(x, y, nudge)
            departure = self.inference.infer(nudged, activity_lr, settled).departure
            return nudged.weight_gradients(departure)

        upper = slopes(self.nudge)
        lower = slopes(-self.nudge) if self.symmetric else free.weight_gradients(settled)
        span = 2 * self.nudge if self.symmetric else self.nudge
        return free.loss_at(settled), jax.tree.map(lambda u, v: (u - v) / span, upper, lower)
