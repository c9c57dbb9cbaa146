"""Inference on one batch: the energy as a function of departures from a start."""

from typing import Protocol, TypeVar, runtime_checkable

import jax
from jaxtyping import Array, Float, PyTree

Scalar = Float[Array, ""] | float
"""A traced or a Python number."""

Departure = TypeVar("Departure")
"""A departure of activities from the start: an array or a pytree of arrays, one per layer."""


@runtime_checkable
class Relaxation(Protocol[Departure]):
    """The energy of one batch as a function of d = z - zbar, the departure from a start zbar.

    F is the batch mean. Gradients are per sample, B dF/dz, so that their size does not depend on B.
    Departures, unlike activities, resolve the tiny errors of a deep network's lower layers in
    float32 (`pccore.networks.local`).
    """

    @property
    def batch_size(self) -> int:
        """B."""
        ...

    def origin(self) -> Departure:
        """Return the departure of the start: zero."""
        ...

    def loss(self) -> Float[Array, ""]:
        """Return the loss of the prediction, the output energy of a forward pass."""
        ...

    def gradient(self, departure: Departure) -> Departure:
        """Return B dF/dz at zbar + departure."""
        ...

    def energies(self, departure: Departure) -> Float[Array, " L"]:
        """Return the energy of each layer, averaged over the batch; their sum is F."""
        ...

    def activities(self, departure: Departure) -> Departure:
        """Return z = zbar + departure."""
        ...

    def weight_gradients(self, departure: Departure) -> PyTree:
        """Return dF/dW at zbar + departure, with the structure of the network."""
        ...

    def descent(self, rate: Scalar, steps: int) -> Departure:
        """Take `steps` steps of d <- d - rate B dF/dz from the start.

        `gradient_steps` is the general implementation; an energy may have a faster one.
        """
        ...


def gradient_steps(
    relaxation: Relaxation[Departure],
    departure: Departure,
    rate: Scalar,
    steps: int,
) -> Departure:
    """Take `steps` steps of d <- d - rate B dF/dz, all activities at once."""

    def step(_: Array, departure: Departure) -> Departure:
        return descend(departure, relaxation.gradient(departure), rate)

    return jax.lax.fori_loop(0, steps, step, departure)


def descend(departure: Departure, slopes: Departure, rate: Scalar) -> Departure:
    """Return d - rate * slopes, layer by layer."""
    return jax.tree.map(lambda d, g: d - rate * g, departure, slopes)
