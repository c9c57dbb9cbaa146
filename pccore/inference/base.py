"""The abstract base class of inference schemes, and their result."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from pccore.relaxation import AugmentedRelaxation, Departure, Relaxation, Scalar
from pccore.validation import PositiveInt, require_bounds


class Inference(eqx.Module, Generic[Departure]):
    """The result of an inference phase.

    Attributes:
        departure: the departure of the activities from their start, an argument of
            `relaxation.activities` and `relaxation.weight_gradients`.
        steps: number of gradient steps, or of accepted steps of a solver; 1 for a closed form.
        converged: whether the scheme's own criterion was met; None for schemes without one.
        residual: ||dF/dz|| relative to its value at the beginning; None for schemes that do not
            compute it. A small residual does not mean that the activities are near the equilibrium:
            the landscape is ill-conditioned, hence flat in some directions (thesis 5.4.1).
        observed: what `observe` returned, stacked; None without `observe`.
        multipliers: those of `AugmentedLagrangian`, with the structure of a departure; else None.
    """

    departure: Departure
    steps: Int[Array, ""] | int
    converged: Bool[Array, ""] | None = None
    residual: Float[Array, ""] | None = None
    observed: PyTree = None
    multipliers: PyTree = None

    def weight_gradients(self, relaxation: Relaxation[Departure]) -> PyTree:
        """Return the gradient that the weights descend: dF/dW, or dL/dW with multipliers."""
        if self.multipliers is None:
            return relaxation.weight_gradients(self.departure)
        assert isinstance(relaxation, AugmentedRelaxation)
        return relaxation.weight_gradients(self.departure, self.multipliers)


def norm(slopes: PyTree) -> Float[Array, ""]:
    """Return the Euclidean norm over all layers and the whole batch."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(slopes)))


def relative(size: Float[Array, ""], scale: Float[Array, ""]) -> Float[Array, ""]:
    """Return the residual size / scale, or 0 where both are zero."""
    return jnp.where((size == 0) & (scale == 0), 0, size / scale)


@dataclass(frozen=True)
class InferenceScheme(ABC):
    """A way to relax the activities of a network whose input and output are clamped.

    Subclasses are frozen dataclasses: they are part of what a compiled program depends on.
    """

    uses_activity_lr: ClassVar[bool] = True
    """True if the result depends on beta."""

    uses_start: ClassVar[bool] = True
    """True if the result depends on the activities from which inference begins."""

    draws: ClassVar[bool] = False
    """True if inference draws at random: `infer` needs what `drawing` returns."""

    splits_batches: ClassVar[bool] = False
    """True if each sample of a batch is inferred independently of the others."""

    stability_limit: ClassVar[float] = math.inf
    """The beta lambda_max / B up to which inference stays bounded on a quadratic energy, lambda_max
    the largest eigenvalue of the Hessian B d2F/dz2 in the variables `descended`. Infinite for
    schemes without a known limit."""

    def __post_init__(self) -> None:
        require_bounds(self)

    @property
    def step_limit(self) -> int:
        """The largest number of steps that inference takes; 1 for schemes without steps."""
        return 1

    def curvature_of_growth(self, growth: float) -> float:
        """Return the beta lambda_max / B with which inference multiplies the steepest mode of a
        quadratic energy by `growth`, at least 1. It tends to `stability_limit` as T -> infinity.
        """
        return math.inf

    def descended(self, relaxation: Relaxation[Departure]) -> Relaxation[Departure]:
        """Return the energy as a function of the variables in which the scheme takes its steps."""
        return relaxation

    def drawing(self, key: Array) -> "InferenceScheme":
        """Return the scheme with the random numbers of one batch; itself if it draws none.

        Args:
            key: a random key, different for every batch. A random start may draw from it too.
        """
        return self

    @abstractmethod
    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None = None,
        observe: Callable[[Departure], PyTree] | None = None,
    ) -> Inference[Departure]:
        """Lower the energy.

        Args:
            relaxation: the energy of a batch.
            activity_lr: beta, for the batch-mean energy.
            departure: where inference begins, for all layers; None for the start itself.
            observe: returns arrays of floats, recorded at the beginning and after every step. They
                come stacked, with NaN after the last step taken.
        """


@dataclass(frozen=True)
class FixedSteps(InferenceScheme):
    """A scheme that always takes the same number of steps.

    Attributes:
        steps: T.

    Raises:
        ValueError: `steps` is below one.
    """

    steps: PositiveInt

    @property
    def step_limit(self) -> int:
        return self.steps
