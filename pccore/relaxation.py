"""Inference on one batch, as every scheme sees it: a descent in departures from a start."""

from typing import Protocol, TypeVar, runtime_checkable

import jax
from jaxtyping import Array, Float, PyTree

Departure = TypeVar("Departure")
"""How activities depart from the start: an array, or a pytree of them, one entry a layer."""


@runtime_checkable
class Relaxation(Protocol[Departure]):
    """The energy of one batch as a function of d = z - zbar, the departure from a start zbar.

    F is the batch mean; gradients are per sample, B dF/dz, so that their size does not depend on B.
    A departure is written by its own size: that is what keeps the tiny errors of a deep network's
    lower layers in float32 (`pccore.networks.local`).
    """

    @property
    def batch_size(self) -> int:
        """B."""
        ...

    def origin(self) -> Departure:
        """The departure of the start itself: zero."""
        ...

    def loss(self) -> Float[Array, ""]:
        """The loss of the network's prediction, the output energy of a forward pass."""
        ...

    def gradient(self, departure: Departure) -> Departure:
        """B dF/dz at zbar + departure."""
        ...

    def energies(self, departure: Departure) -> Float[Array, " L"]:
        """The energy of each layer, averaged over the batch; their sum is F."""
        ...

    def activities(self, departure: Departure) -> Departure:
        """z = zbar + departure."""
        ...

    def weight_gradients(self, departure: Departure) -> PyTree:
        """dF/dW at zbar + departure, in the shape of the network."""
        ...

    def descent(self, rate: Float[Array, ""], steps: int) -> Departure:
        """`steps` steps of d <- d - rate B dF/dz from the start, in the way that suits this energy.

        See `gradient_steps` for the plain one.
        """
        ...


def gradient_steps(
    relaxation: Relaxation[Departure],
    departure: Departure,
    rate: Float[Array, ""],
    steps: int,
) -> Departure:
    """`steps` steps of d <- d - rate B dF/dz, all activities at once."""

    def step(_: int, departure: Departure) -> Departure:
        return descend(departure, relaxation.gradient(departure), rate)

    return jax.lax.fori_loop(0, steps, step, departure)


def descend(departure: Departure, slopes: Departure, rate: Float[Array, ""]) -> Departure:
    """d - rate * slopes, layer by layer."""
    return jax.tree.map(lambda d, g: d - rate * g, departure, slopes)
