"""The gradient flow of inference, integrated by Diffrax in fixed or adaptive steps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pccore.inference.base import Inference, InferenceScheme, norm, relative
from pccore.registry import Registry
from pccore.relaxation import Departure, Relaxation, Scalar
from pccore.validation import NonNegativeFloat, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    import diffrax

# Names of Diffrax classes, so that Diffrax is imported only where a flow is compiled.
SOLVERS: Registry[str] = Registry(
    "ODE solver",
    {
        "euler": "Euler",
        "midpoint": "Midpoint",
        "heun": "Heun",
        "bosh3": "Bosh3",
        "tsit5": "Tsit5",
    },
)


@dataclass(frozen=True)
class GradientFlow(InferenceScheme):
    """dz/ds = -beta dF/dz from s = 0 to T, in T steps of one (thesis section 6.4, D.1).

    One step of s covers beta of the flow's own time, so beta is the dt of the thesis and beta T its
    upper limit. With "euler" this is `GradientDescent(steps)`.

    Attributes:
        steps: T.
        solver: a name in `pccore.inference.gradient_flow.SOLVERS`.
        tolerance: end once ||dF/dz|| is at most this times its first value; 0 means never.

    Raises:
        ValueError: `steps` is below one, the solver is unknown, or `tolerance` is negative.
    """

    steps: PositiveInt
    solver: str = "heun"
    tolerance: NonNegativeFloat = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        SOLVERS[self.solver]

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
        """Take at most T steps; `converged` is None without a tolerance."""
        import diffrax

        flow = _Flow(relaxation, activity_lr, departure, self.tolerance)
        solution = flow.solve(
            self.solver, self.steps, diffrax.ConstantStepSize(), self.steps, observe
        )
        return flow.inference(solution, None)


@dataclass(frozen=True)
class AdaptiveFlow(InferenceScheme):
    """dz/ds = -beta dF/dz from s = 0 to `time`, with a PID step-size controller (thesis B.4, 6.4).

    s counts steps of gradient descent, as in `GradientFlow`. With beta = 1 it is the time of the
    flow dz/dt = -dF/dz itself, F the batch mean, and `time` is the thesis's upper limit. The first
    trial step has length one. rtol and atol bound the error of one step in the departures. A
    `tolerance` below the error that they allow is never met.

    Attributes:
        time: T, the upper limit of integration (thesis B.4: 300).
        solver: a name in `pccore.inference.gradient_flow.SOLVERS` with an error estimate.
        rtol: relative tolerance (thesis B.4: 1e-3).
        atol: absolute tolerance.
        max_steps: maximum number of trial steps, after which inference ends.
        tolerance: end once ||dF/dz|| is at most this times its first value; 0 means never.

    Raises:
        ValueError: `max_steps` is below one; `time`, `rtol` or `atol` is not positive; `tolerance`
            is negative; the solver is unknown or has no error estimate.
    """

    time: PositiveFloat = 300.0
    solver: str = "heun"
    rtol: PositiveFloat = 1e-3
    atol: PositiveFloat = 1e-3
    max_steps: PositiveInt = 4096
    tolerance: NonNegativeFloat = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if SOLVERS[self.solver] == "Euler":
            raise ValueError("adaptive_flow needs a solver that estimates its error, got 'euler'")

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
        """Integrate; `converged` is whether the tolerance or, without one, `time` was reached."""
        import diffrax

        flow = _Flow(relaxation, activity_lr, departure, self.tolerance)
        controller = diffrax.PIDController(rtol=self.rtol, atol=self.atol)
        solution = flow.solve(self.solver, self.time, controller, self.max_steps, observe)
        finished = jnp.asarray(solution.result == diffrax.RESULTS.successful)
        return flow.inference(solution, finished)


class _Flow(Generic[Departure]):
    """The flow of one relaxation from one start."""

    def __init__(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None,
        tolerance: float,
    ) -> None:
        self.relaxation, self.tolerance = relaxation, tolerance
        self.rate = activity_lr / relaxation.batch_size
        self.start = relaxation.origin() if departure is None else departure
        self.scale = self.slope(self.start)

    def slope(self, departure: Departure) -> Float[Array, ""]:
        """Return the norm of the vector field, whose zeros are the steady states."""
        return norm(self.relaxation.gradient(departure))

    def solve(
        self,
        solver: str,
        time: float,
        controller: "diffrax.AbstractStepSizeController",
        max_steps: int,
        observe: Callable[[Departure], PyTree[Array]] | None,
    ) -> "diffrax.Solution":
        """Integrate; a failure is a result of the solution, not an exception."""
        import diffrax

        def field(t: object, departure: Departure, args: object) -> Departure:
            return jax.tree.map(lambda g: -self.rate * g, self.relaxation.gradient(departure))

        def steady(t: object, departure: Departure, args: object, **_: object) -> Array:
            return self.slope(departure) <= self.tolerance * self.scale

        saved = [diffrax.SubSaveAt(t1=True)]
        if observe is not None:
            each = diffrax.SubSaveAt(t0=True, steps=True, fn=lambda t, d, args: observe(d))
            saved.append(each)
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            getattr(diffrax, SOLVERS[solver])(),
            t0=0.0,
            t1=float(time),
            dt0=1.0,
            y0=self.start,
            saveat=diffrax.SaveAt(subs=saved),
            stepsize_controller=controller,
            event=diffrax.Event(steady) if self.tolerance else None,
            adjoint=diffrax.ForwardMode(),  # a plain loop, without reverse-mode derivatives
            max_steps=max_steps,
            throw=False,
        )

    def inference(
        self, solution: "diffrax.Solution", finished: Array | None
    ) -> Inference[Departure]:
        """Return the result; `finished` is its `converged` without a tolerance."""
        saved: PyTree[Array] = solution.ys
        departure = jax.tree.map(lambda last: last[0], saved[0])
        taken = solution.stats["num_accepted_steps"]
        observed = None
        if len(saved) > 1:
            observed = jax.tree.map(lambda records: _until(taken, records), saved[1])
        residual = relative(self.slope(departure), self.scale)
        converged = residual <= self.tolerance if self.tolerance else finished
        return Inference(departure, taken, converged, residual, observed)


def _until(taken: Array, records: Float[Array, "entries *_"]) -> Float[Array, "entries *_"]:
    """Put NaN after the last step, where Diffrax leaves infinities."""
    index = jnp.arange(len(records)).reshape(-1, *[1] * (records.ndim - 1))
    return jnp.where(index <= taken, records, jnp.nan)
