"""Error-based predictive coding: the errors are the variables, not the activities."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Protocol, runtime_checkable

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from pccore.inference.base import FixedSteps, Inference
from pccore.inference.gradient_descent import GradientDescent
from pccore.relaxation import (
    Advance,
    Departure,
    Memory,
    Relaxation,
    Scalar,
    SteppedRelaxation,
    gradient_steps,
    steps_from,
)


@runtime_checkable
class SweepingRelaxation(SteppedRelaxation[Departure], Protocol[Departure]):
    """A relaxation whose network can be swept: z_l = f_l(z_{l-1}) + e_l, from the bottom up.

    Errors have the shape of a departure and are not weighted by precisions.
    """

    def departure_of(self, errors: Departure) -> Departure:
        """Return the departure of the activities with these errors, by one upward sweep."""
        ...

    def errors_of(self, departure: Departure) -> Departure:
        """Return e_l = z_l - f_l(z_{l-1}), the inverse of `departure_of`."""
        ...

    def error_gradient(self, errors: Departure) -> Departure:
        """Return B dF/de, by one upward sweep and one downward sweep."""
        ...


def sweeping(relaxation: Relaxation[Departure]) -> SweepingRelaxation[Departure]:
    """Return a relaxation whose network can be swept.

    Raises:
        ValueError: it cannot.
    """
    if not isinstance(relaxation, SweepingRelaxation):
        raise ValueError(
            "error-based inference needs a relaxation with departure_of, errors_of and "
            f"error_gradient, got {type(relaxation).__name__}"
        )
    return relaxation


class ErrorRelaxation(eqx.Module, Generic[Departure]):
    """The energy of a batch as a function of its errors, which error-based inference descends.

    It is itself a `Relaxation`, whose departures are errors, so that any scheme can descend it.

    Attributes:
        relaxation: the same energy as a function of the activities.
    """

    relaxation: SweepingRelaxation[Departure]

    @property
    def batch_size(self) -> int:
        return self.relaxation.batch_size

    def origin(self) -> Departure:
        return self.relaxation.errors_of(self.relaxation.origin())

    def loss(self) -> Float[Array, ""]:
        return self.relaxation.loss()

    def gradient(self, errors: Departure) -> Departure:
        return self.relaxation.error_gradient(errors)

    def energies(self, errors: Departure) -> Float[Array, " L"]:
        return self.relaxation.energies(self.relaxation.departure_of(errors))

    def activities(self, errors: Departure) -> Departure:
        return self.relaxation.activities(self.relaxation.departure_of(errors))

    def weight_gradients(self, errors: Departure) -> PyTree:
        return self.relaxation.weight_gradients(self.relaxation.departure_of(errors))

    def descent(self, rate: Scalar, steps: int) -> Departure:
        return gradient_steps(self, self.origin(), rate, steps)

    def iterate_from_start(
        self, advance: Advance[Departure, Memory], copies: int, memory: Memory, steps: int
    ) -> tuple[tuple[Departure, ...], Memory]:
        return steps_from(advance, (self.origin(),) * copies, memory, steps)

    def inner(self, a: Departure, b: Departure) -> Float[Array, " B"]:
        return self.relaxation.inner(a, b)

    def scaled(self, errors: Departure, factors: Float[Array, " B"]) -> Departure:
        return self.relaxation.scaled(errors, factors)


@dataclass(frozen=True)
class ErrorBased(FixedSteps):
    """e <- e - beta dF/de, `steps` = T times, where z_l = f_l(z_{l-1}) + e_l (thesis 5.8; Goemaere
    et al., 2025, "ePC").

    F(e) = (1/B) sum_i [ sum_l p_l/2 ||e_l||^2 + p_L E(y, f_L(z_H(e))) + sum_l alpha/2 ||z_l||^2 ]

    is the energy of predictive coding in other variables: the equilibria are the same, and so are
    the weight gradients there. Every step is one forward pass perturbed by the errors and one
    reverse pass, so that the target's signal reaches all layers at once and does not fade with
    depth. The passes include the network's parameterisation, muPC or another. From a forward pass
    the errors start at zero.

    For linear networks descent converges if beta/B < 2/lambda_max and diverges above, whatever the
    number of steps. lambda_max is the largest eigenvalue of I + J'J, J = d f_L / de, which is that
    of the thesis's rescaling S = I + J J' (eq. 4.5). It grows with depth unless the
    parameterisation prevents it.

    Attributes:
        steps: T. Few are enough: one step from zero gives errors beta/B times those of
            backpropagation.

    Raises:
        ValueError: `steps` is below one; in `infer`, the network of the relaxation cannot be swept.
    """

    stability_limit: ClassVar[float] = 2.0

    def descended(self, relaxation: Relaxation[Departure]) -> Relaxation[Departure]:
        """Return the energy as a function of the errors."""
        return ErrorRelaxation(sweeping(relaxation))

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None = None,
        observe: Callable[[Departure], PyTree[Array]] | None = None,
    ) -> Inference[Departure]:
        """Take T steps. beta applies to the batch-mean energy, hence beta/B to each sample's."""
        swept = sweeping(relaxation)
        in_errors = ErrorRelaxation(swept)
        errors = swept.errors_of(relaxation.origin() if departure is None else departure)

        def seen(errors: Departure) -> PyTree[Array]:
            return None if observe is None else observe(swept.departure_of(errors))

        inferred = GradientDescent(self.steps).infer(
            in_errors, activity_lr, errors, None if observe is None else seen
        )
        return replace(inferred, departure=swept.departure_of(inferred.departure))
