"""Gradient descent on all activities at once, restricted to the layers that can have moved."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Array, Float

from pccore.inference.base import Inference
from pccore.inference.iteration import Iterate, iterate
from pccore.relaxation import Departure, Relaxation, gradient_steps
from pccore.validation import require_at_least


@dataclass(frozen=True)
class GradientDescent:
    """z <- z - beta dF/dz, `steps` = T times, every layer from the same z (thesis 5.3.2).

    The start is a forward pass, whose hidden errors are exactly zero. An error travels one layer a
    step, so step t moves the top t layers only. The computation follows this wave, in blocks: about
    half the products when T = H, and the same numbers.

    Attributes:
        steps: T. The documents use T = H (thesis C.4); a single step is 1 (C.3.5).

    Raises:
        ValueError: fewer than one step.
    """

    steps: int
    uses_activity_lr: ClassVar[bool] = True
    splits_batches: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_at_least(self, 1, "steps")

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Float[Array, ""],
        departure: Departure | None = None,
        observe: Callable[[Departure], Any] | None = None,
    ) -> Inference[Departure]:
        """T steps; beta applies to the batch-mean energy, hence beta/B to each sample's."""
        rate = activity_lr / relaxation.batch_size

        first = relaxation.origin() if departure is None else departure
        if observe is not None:  # step by step: the wave would observe some of the layers

            def advance(now: Iterate) -> Iterate:
                return Iterate(gradient_steps(relaxation, now.departure, rate, 1), done=now.done)

            last, _, observed = iterate(advance, Iterate(first), self.steps, observe)
            return Inference(last.departure, self.steps, observed=observed)
        if departure is not None:
            return Inference(gradient_steps(relaxation, departure, rate, self.steps), self.steps)
        return Inference(relaxation.descent(rate, self.steps), self.steps)
