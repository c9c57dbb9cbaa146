"""The step size from which on gradient descent on the activities diverges (thesis 5.4.1)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Array, Float

from pccore.inference import GradientDescent, ToConvergence
from pccore.rules import LearningRule, PredictiveCoding
from pccore.theory.conditioning import largest_eigenvalue

LIMITED = (GradientDescent, ToConvergence)
"""The schemes whose steps are beta dF/dz, whatever comes of it. Halving takes back a step that
raises F; the others are no gradient descent on the activities, or choose their steps."""


GROWTH = 1e5
"""With few steps a beta beyond the limit need not do harm: see docs/theory.md for the runs."""


def has_step_limit(rule: LearningRule) -> bool:
    """Whether beta has a stable limit: predictive coding by plain gradient descent."""
    return isinstance(rule, PredictiveCoding) and isinstance(rule.inference, LIMITED)


def stable_activity_lr(
    network: Any,
    x: Float[Array, "B D"] | None = None,
    y: Float[Array, "B K"] | None = None,
    *,
    batch_size: int | None = None,
    steps: int = 128,
) -> Float[Array, ""]:
    """The beta below which gradient descent on a quadratic energy converges, from anywhere.

        beta < 2 B / lambda_max                            (section 5.4.1; F is a batch mean)

    with lambda_max the largest eigenvalue of B d2F/dz2. For other energies it is that of the
    forward pass, largest over the samples: a local statement.

    Args:
        network: of any kind that `largest_eigenvalue` takes; linear ones need no data.
        x: inputs of a batch.
        y: its targets.
        batch_size: B that beta is for; by default that of `x`.
        steps: as in `largest_eigenvalue`, which errs to the side of a limit too high.

    Raises:
        ValueError: neither `x` nor `batch_size`; or as `largest_eigenvalue`.
    """
    if batch_size is None:
        if x is None:
            raise ValueError("a stable activity_lr depends on the batch size: give x or batch_size")
        batch_size = len(x)
    return 2 * batch_size / largest_eigenvalue(network, x, y, steps=steps)


def blow_up_activity_lr(stable: float, steps: int, growth: float = GROWTH) -> float:
    """The beta with which T steps throw the steepest mode `growth` times as far off equilibrium.

    A mode of eigenvalue lambda is multiplied by 1 - beta lambda / B a step, which gives

        beta = stable (1 + growth^(1/T)) / 2

    and the stable limit itself as T -> infinity.

    Args:
        stable: the stable limit, 2 B / lambda_max.
        steps: T.
        growth: at least 1.
    """
    return 0.5 * stable * (1 + growth ** (1 / steps))


@dataclass(frozen=True)
class StableActivityLr:
    """Probe: `stable_activity_lr` of the batch.

    Attributes:
        products: the most Hessian products; with 32, within about 1%.
    """

    products: int = 32
    source: ClassVar[str] = "thesis 5.4.1"

    def measure(
        self,
        network: Any,
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """`stable_activity_lr`; the beta in use plays no part."""
        return {"stable_activity_lr": stable_activity_lr(network, x, y, steps=self.products)}
