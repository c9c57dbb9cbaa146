"""Inference to equilibrium at any depth, by Gauss-Newton on the errors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Array, PyTree

from pccore.inference.base import Inference, InferenceScheme, norm, relative
from pccore.inference.gauss_newton_step import conjugate_step, direct_step
from pccore.inference.iteration import Iterate, iterate
from pccore.inference.line_search import LinearisableRelaxation, search
from pccore.relaxation import Departure, Relaxation, Scalar
from pccore.validation import NonNegativeInt, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class GaussNewton(InferenceScheme):
    """Gauss-Newton on the errors, e <- e + t s, where z_l = f_l(z_{l-1}) + e_l.

    With the errors as variables (as in `ErrorBased`) the energy of a sample is that of a regression
    with K outputs, F(e) = 1/2 e^T P e + p_L E(y, g(e)), where g is the network's prediction. With
    J = dg/de,

        e + s = P^-1 J^T w,    (I + C J P^-1 J^T) w = r + C J e

    where r is minus the slope and C the curvature of the output energy. For the mean-squared error
    at a forward pass this is J^T S^-1 (y - g), with S = I + J J^T the thesis's rescaling (eq. 4.5).
    The target's signal reaches all layers at once. The conditioning of the activities (5.4.1),
    which stalls descent in deep networks, does not matter: one iteration is exact for linear
    networks of any depth. A line search of a few forward passes chooses the step t of each sample,
    so that no sample's energy rises (`pccore.inference.line_search`).

    Unlike `ExactSolution` this scheme takes nonlinear networks. Equilibrium propagation is a
    learning rule and unrelated.

    Attributes:
        iterations: number of Gauss-Newton iterations.
        direct_outputs: largest number of outputs K for which the K x K system is solved, in K + 1
            sweeps through the network. Larger K use conjugate gradients, two sweeps per step.
        conjugate_steps: maximum steps of conjugate gradients; they end earlier at rounding.
        tolerance: ||dF/dz|| at the end, relative to the start, that counts as converged. It does
            not stop the iterations.

    Raises:
        ValueError: `iterations` or `conjugate_steps` is below one, `direct_outputs` is negative, or
            `tolerance` is not positive; when compiled, the network cannot be swept or has activity
            decay, or the free units are not exactly the hidden ones.
    """

    iterations: PositiveInt = 1
    direct_outputs: NonNegativeInt = 64
    conjugate_steps: PositiveInt = 100
    tolerance: PositiveFloat = 1e-3
    uses_activity_lr: ClassVar[bool] = False
    splits_batches: ClassVar[bool] = True

    def sweeps(self, outputs: int) -> int:
        """Estimate the sweeps of a batch through the network, one product per layer each."""
        if outputs <= self.direct_outputs:
            step = outputs + 1
        else:
            step = 2 * min(outputs + 1, self.conjugate_steps)
        return self.iterations * (step + 2)  # plus the line search and J e

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None = None,
        observe: Callable[[Departure], PyTree[Array]] | None = None,
    ) -> Inference[Departure]:
        """Run all iterations, whatever `activity_lr` is."""
        if not isinstance(relaxation, LinearisableRelaxation):
            raise ValueError(
                "Gauss-Newton inference (equilibrium) needs a relaxation with linearised, "
                f"departure_of and prediction, got {type(relaxation).__name__}"
            )
        start = relaxation.origin() if departure is None else departure
        observed = None
        if self.iterations == 1 and observe is None:  # J e is known to be zero at a forward pass
            found = self._iteration(relaxation, departure)
        else:

            def advance(now: Iterate) -> Iterate:
                return Iterate(self._iteration(relaxation, now.departure), done=now.done)

            last, _, observed = iterate(advance, Iterate(start), self.iterations, observe)
            found = last.departure
        scale, size = (norm(relaxation.gradient(d)) for d in (start, found))
        residual = relative(size, scale)
        return Inference(found, self.iterations, residual <= self.tolerance, residual, observed)

    def _iteration(
        self, relaxation: LinearisableRelaxation, departure: PyTree[Array] | None
    ) -> PyTree[Array]:
        """Return the departure after one step and its line search."""
        at = relaxation.linearised(departure)
        if at.prediction.shape[-1] <= self.direct_outputs:
            step = direct_step(at)
        else:
            step = conjugate_step(at, self.conjugate_steps)
        return search(relaxation, at, step, relaxation.origin() if departure is None else departure)
