"""Gradient descent until the gradient is small."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Array, PyTree

from pccore.inference.base import Inference, InferenceScheme, norm, relative
from pccore.inference.iteration import Iterate, iterate
from pccore.relaxation import Departure, Relaxation, Scalar, descend
from pccore.validation import PositiveFloat, PositiveInt, require_bounds


@dataclass(frozen=True)
class ToConvergence(InferenceScheme):
    """z <- z - beta dF/dz until ||dF/dz|| <= tolerance times its first value (thesis C.4).

    The norm is over all layers and the whole batch. A small gradient does not mean that z is near
    the equilibrium (section 5.4.1). Overflowing activities end inference without convergence.

    Attributes:
        max_steps: maximum T (thesis C.4: 500).
        tolerance: relative tolerance; the thesis names no value.

    Raises:
        ValueError: `max_steps` is below one, or `tolerance` is not positive.
    """

    max_steps: PositiveInt = 500
    tolerance: PositiveFloat = 1e-3
    uses_activity_lr: ClassVar[bool] = True
    stable_limit: ClassVar[float | None] = 2.0

    def __post_init__(self) -> None:
        require_bounds(self)

    @property
    def step_limit(self) -> int:
        return self.max_steps

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None = None,
        observe: Callable[[Departure], PyTree[Array]] | None = None,
    ) -> Inference[Departure]:
        """Descend; `residual` is the final relative norm."""
        rate = activity_lr / relaxation.batch_size
        start = relaxation.origin() if departure is None else departure
        slopes = relaxation.gradient(start)
        scale = norm(slopes)

        def at(departure: Departure, slopes: Departure) -> Iterate:
            # written so that NaN ends inference too
            unfinished = norm(slopes) > self.tolerance * scale
            return Iterate(departure, slopes, ~unfinished)

        def advance(now: Iterate) -> Iterate:
            departure = descend(now.departure, now.memory, rate)
            return at(departure, relaxation.gradient(departure))

        last, taken, observed = iterate(advance, at(start, slopes), self.max_steps, observe)
        residual = relative(norm(last.memory), scale)
        return Inference(last.departure, taken, residual <= self.tolerance, residual, observed)
