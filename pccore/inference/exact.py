"""Inference in linear networks by a direct solution for the equilibrium."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from pccore.inference.base import Inference, InferenceScheme, norm, relative
from pccore.relaxation import Departure, Relaxation, Scalar
from pccore.validation import PositiveFloat


@runtime_checkable
class SolvableRelaxation(Protocol):
    """A `Relaxation` whose equilibrium has a closed form."""

    def equilibrium(self) -> PyTree[Array]:
        """Return the departure at which dF/dz = 0.

        Raises:
            ValueError: the network is not linear.
        """
        ...


@dataclass(frozen=True)
class ExactSolution(InferenceScheme):
    """z* = H_z^-1 b, the equilibrium of a linear network (thesis eq. 5.4; "perfect", C.3.6).

    It costs about as much as two sweeps through the network, and with activity decay a
    factorisation of an N x N block per layer (`pccore.networks.linear_solution`). The result
    depends neither on beta nor on the start.

    Attributes:
        tolerance: ||dF/dz|| at the solution, relative to the start, that counts as converged. It
            is lost in rounding where the gradient at the start is tiny.

    Raises:
        ValueError: `tolerance` is not positive; when compiled, the network is not linear or its
            output energy is not "mse".
    """

    tolerance: PositiveFloat = 1e-3
    uses_activity_lr: ClassVar[bool] = False
    uses_start: ClassVar[bool] = False

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None = None,
        observe: Callable[[Departure], PyTree[Array]] | None = None,
    ) -> Inference[Departure]:
        """Return the equilibrium, whatever `activity_lr` is."""
        if not isinstance(relaxation, SolvableRelaxation):
            raise ValueError(
                "exact inference needs a relaxation with an equilibrium in closed form, "
                f"got {type(relaxation).__name__}"
            )
        start = relaxation.origin() if departure is None else departure
        found = relaxation.equilibrium()
        scale, size = (norm(relaxation.gradient(d)) for d in (start, found))
        residual = relative(size, scale)
        observed = None
        if observe is not None:
            seen = observe(start), observe(found)
            observed = jax.tree.map(lambda *records: jnp.stack(records), *seen)
        return Inference(found, 1, residual <= self.tolerance, residual, observed)
