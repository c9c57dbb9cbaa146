"""What every inference scheme takes and returns."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pccore.relaxation import Departure, Relaxation


class Inference(NamedTuple, Generic[Departure]):
    """The result of an inference phase.

    Attributes:
        departure: how the activities have departed from their start; `relaxation.activities` and
            `relaxation.weight_gradients` take it.
        steps: steps taken: gradient steps, accepted steps of a solver, or one exact solution.
        converged: whether the scheme's own criterion was met; None for schemes without one.
        residual: ||dF/dz|| relative to where inference began; None for schemes that do not test it.
            A small one does not mean that the activities are near the equilibrium: the landscape is
            ill-conditioned, hence flat in some directions (thesis 5.4.1).
        observed: what `observe` returned; None unless asked for.
    """

    departure: Departure
    steps: Int[Array, ""] | int
    converged: Bool[Array, ""] | None = None
    residual: Float[Array, ""] | None = None
    observed: Any = None


def norm(slopes: Any) -> Float[Array, ""]:
    """Euclidean, over all layers and the whole batch."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(slopes)))


def relative(size: Float[Array, ""], scale: Float[Array, ""]) -> Float[Array, ""]:
    """A residual: size / scale, and 0 where there was nothing to lower."""
    return jnp.where((size == 0) & (scale == 0), 0, size / scale)


@dataclass(frozen=True)
class InferenceScheme(ABC):
    """A way to relax the activities of a network whose input and output are clamped.

    Subclasses are frozen dataclasses: they are part of what a compiled program depends on.
    """

    uses_activity_lr: ClassVar[bool] = True
    """Whether the result depends on beta."""

    uses_start: ClassVar[bool] = True
    """Whether the result depends on where inference begins."""

    splits_batches: ClassVar[bool] = False
    """Whether each sample of a batch is inferred independently of the others."""

    @property
    def step_limit(self) -> int:
        """The largest number of steps that inference takes; 1 for schemes without steps."""
        return 1

    @abstractmethod
    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Float[Array, ""],
        departure: Departure | None = None,
        observe: Callable[[Departure], Any] | None = None,
    ) -> Inference[Departure]:
        """Lower the energy.

        Args:
            relaxation: the energy of a batch.
            activity_lr: beta, for the batch-mean energy.
            departure: where inference begins, for all layers; None for the start itself.
            observe: returns arrays of floats, recorded at the beginning and after every step. They
                come stacked, with NaN after the last step taken.
        """
