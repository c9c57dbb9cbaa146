"""The step size above which inference diverges (thesis 5.4.1)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Array, Float

from pccore.inference import ErrorBased, InferenceScheme
from pccore.networks.base import AbstractNetwork
from pccore.rules import LearningRule, PredictiveCoding
from pccore.theory.conditioning import largest_eigenvalue
from pccore.training.probe import Probe

GROWTH = 1e5
"""Growth of the steepest mode at which inference blows up. With few steps, a beta above the stable
limit can be harmless; docs/theory.md has the measurements."""


def has_step_limit(rule: LearningRule) -> bool:
    """Return whether beta has a stable limit, as in predictive coding by gradient descent, plain,
    with momentum or with multipliers.

    Halving undoes a step that raises F; the other schemes choose their step sizes, or their steps
    are not in the activities.
    """
    if not isinstance(rule, PredictiveCoding) or isinstance(rule.inference, ErrorBased):
        return False
    return math.isfinite(rule.inference.stability_limit)


def stable_activity_lr(
    network: AbstractNetwork,
    x: Float[Array, "B D"] | None = None,
    y: Float[Array, "B K"] | None = None,
    *,
    batch_size: int | None = None,
    steps: int = 128,
) -> Float[Array, ""]:
    """Return the beta below which gradient descent on a quadratic energy converges from any start.

        beta < 2 B / lambda_max                            (section 5.4.1; F is a batch mean)

    with lambda_max the largest eigenvalue of B d2F/dz2. For other energies it is the largest one at
    the forward pass, over all samples, and the statement is local.

    Args:
        network: any network that `largest_eigenvalue` accepts; linear ones need no data.
        x: inputs of a batch.
        y: targets of the batch.
        batch_size: the B of beta; by default that of `x`.
        steps: as in `largest_eigenvalue`, whose error makes the limit too high.

    Raises:
        ValueError: neither `x` nor `batch_size` is given; or as for `largest_eigenvalue`.
    """
    if batch_size is None:
        if x is None:
            raise ValueError("a stable activity_lr depends on the batch size: pass x or batch_size")
        batch_size = len(x)
    return 2 * batch_size / largest_eigenvalue(network, x, y, steps=steps)


def bounded_activity_lr(stable: float, inference: InferenceScheme) -> float:
    """Return the beta up to which a scheme stays bounded on a quadratic energy.

    Args:
        stable: the limit of gradient descent, 2 B / lambda_max.
        inference: the scheme.
    """
    return 0.5 * stable * inference.stability_limit


def blow_up_activity_lr(stable: float, inference: InferenceScheme, growth: float = GROWTH) -> float:
    """Return the beta with which a scheme multiplies the steepest mode by `growth`.

    T steps of gradient descent multiply a mode of eigenvalue lambda by (1 - beta lambda / B)^T,
    which gives stable (1 + growth^(1/T)) / 2, and the stable limit itself as T -> infinity.

    Args:
        stable: the limit of gradient descent, 2 B / lambda_max.
        inference: the scheme.
        growth: at least 1.
    """
    return 0.5 * stable * inference.curvature_of_growth(growth)


@dataclass(frozen=True)
class StableActivityLr(Probe[AbstractNetwork]):
    """Probe: `stable_activity_lr` of the batch.

    Attributes:
        products: maximum number of Hessian products; 32 give the limit to about 1%.
    """

    products: int = 32
    source: ClassVar[str] = "thesis 5.4.1"

    def measure(
        self,
        network: AbstractNetwork,
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """Return `stable_activity_lr`; the run's own beta is not used."""
        return {"stable_activity_lr": stable_activity_lr(network, x, y, steps=self.products)}
