"""Gradient descent on all activities at once, limited to the layers that an error has reached."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Array, PyTree

from pccore.inference.base import Inference, InferenceScheme
from pccore.inference.iteration import Iterate, iterate
from pccore.relaxation import Departure, Relaxation, Scalar, gradient_steps
from pccore.validation import PositiveInt, require_bounds


@dataclass(frozen=True)
class GradientDescent(InferenceScheme):
    """z <- z - beta dF/dz, `steps` = T times, every layer from the same z (thesis 5.3.2).

    The start is a forward pass, whose hidden errors are exactly zero. An error travels one layer
    per step, so step t moves only the top t layers. The computation follows this wave in blocks,
    which takes about half the products when T = H and gives the same numbers.

    Attributes:
        steps: T. The thesis uses T = H (C.4), and a single step in C.3.5.

    Raises:
        ValueError: `steps` is below one.
    """

    steps: PositiveInt
    uses_activity_lr: ClassVar[bool] = True
    stable_limit: ClassVar[float | None] = 2.0
    splits_batches: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_bounds(self)

    @property
    def step_limit(self) -> int:
        return self.steps

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None = None,
        observe: Callable[[Departure], PyTree[Array]] | None = None,
    ) -> Inference[Departure]:
        """Take T steps. beta applies to the batch-mean energy, hence beta/B to each sample's."""
        rate = activity_lr / relaxation.batch_size

        first = relaxation.origin() if departure is None else departure
        if observe is not None:  # step by step: the wave computes only some of the layers

            def advance(now: Iterate) -> Iterate:
                return Iterate(gradient_steps(relaxation, now.departure, rate, 1), done=now.done)

            last, _, observed = iterate(advance, Iterate(first), self.steps, observe)
            return Inference(last.departure, self.steps, observed=observed)
        if departure is not None:
            return Inference(gradient_steps(relaxation, departure, rate, self.steps), self.steps)
        return Inference(relaxation.descent(rate, self.steps), self.steps)
