"""Inference to equilibrium at any depth: Gauss-Newton on the errors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Array, Float

from pccore.inference.base import Inference, norm, relative
from pccore.inference.gauss_newton_step import conjugate_step, direct_step
from pccore.inference.iteration import Iterate, iterate
from pccore.inference.line_search import LinearisableRelaxation, search
from pccore.relaxation import Departure, Relaxation
from pccore.validation import require_at_least, require_positive


@dataclass(frozen=True)
class GaussNewton:
    """Gauss-Newton on the errors, e <- e + t s, where z_l = f_l(z_{l-1}) + e_l.

    With the errors as variables (as in `ErrorBased`) the energy of a sample is that of a regression
    with K outputs, F(e) = 1/2 e^T P e + p_L E(y, g(e)), g the network's prediction. With J = dg/de,

        e + s = P^-1 J^T w,    (I + C J P^-1 J^T) w = r + C J e

    with r and C minus the slope and the curvature of the output energy; for the mean-squared error
    at a forward pass, J^T S^-1 (y - g), with S = I + J J^T the thesis's rescaling (eq. 4.5). The
    target's signal reaches all layers at once, and the conditioning of the activities (5.4.1),
    which stalls descent in deep networks, plays no part: for linear networks of any depth one
    iteration is exact. The step t of each sample is searched for in a few forward passes, so that
    no sample's energy rises (`pccore.inference.line_search`).

    Not to be confused with `ExactSolution`, the solver for linear networks alone, nor with
    equilibrium propagation, which is a rule of learning.

    Attributes:
        iterations: Gauss-Newton iterations.
        direct_outputs: outputs K up to which the K x K system is solved, which takes K + 1 sweeps
            through the network; above, conjugate gradients, which take two a step.
        conjugate_steps: steps of conjugate gradients at most; they end before at rounding.
        tolerance: ||dF/dz|| at the end, relative to where inference began, that counts as
            converged. It does not stop the iterations.

    Raises:
        ValueError: fewer than one iteration or step, a negative `direct_outputs`, or a tolerance
            that is not positive; when compiled, a network that cannot be swept or has activity
            decay, or other units free than the hidden ones.
    """

    iterations: int = 1
    direct_outputs: int = 64
    conjugate_steps: int = 100
    tolerance: float = 1e-3
    uses_activity_lr: ClassVar[bool] = False
    splits_batches: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_at_least(self, 1, "iterations", "conjugate_steps")
        require_at_least(self, 0, "direct_outputs")
        require_positive(self, "tolerance")

    def sweeps(self, outputs: int) -> int:
        """Sweeps of a batch through the network, roughly: a product a layer each."""
        if outputs <= self.direct_outputs:
            step = outputs + 1
        else:
            step = 2 * min(outputs + 1, self.conjugate_steps)
        return self.iterations * (step + 2)  # and its line search, and J e

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Float[Array, ""],
        departure: Departure | None = None,
        observe: Callable[[Departure], Any] | None = None,
    ) -> Inference[Departure]:
        """All iterations, whatever `activity_lr` is."""
        if not isinstance(relaxation, LinearisableRelaxation):
            raise ValueError(
                "equilibrium inference needs a network that one sweep can run through, "
                f"{type(relaxation).__name__} has no linearised, departure_of, prediction"
            )
        start = relaxation.origin() if departure is None else departure
        observed = None
        if self.iterations == 1 and observe is None:  # from a forward pass, J e is known to be zero
            found = self._iteration(relaxation, departure)
        else:

            def advance(now: Iterate) -> Iterate:
                return Iterate(self._iteration(relaxation, now.departure), done=now.done)

            last, _, observed = iterate(advance, Iterate(start), self.iterations, observe)
            found = last.departure
        scale, size = (norm(relaxation.gradient(d)) for d in (start, found))
        residual = relative(size, scale)
        return Inference(found, self.iterations, residual <= self.tolerance, residual, observed)

    def _iteration(self, relaxation: LinearisableRelaxation, departure: Any) -> Any:
        """The departure after one step and its line search."""
        at = relaxation.linearised(departure)
        if at.prediction.shape[-1] <= self.direct_outputs:
            step = direct_step(at)
        else:
            step = conjugate_step(at, self.conjugate_steps)
        return search(relaxation, at, step, relaxation.origin() if departure is None else departure)
