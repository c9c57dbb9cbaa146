"""Inference on one batch, as every scheme sees it: a descent in departures from a start."""

from typing import Protocol, TypeVar

from jaxtyping import Array, Float

Departure = TypeVar("Departure")
"""How activities depart from the start: an array, or a pytree of them, one entry a layer."""


class Relaxation(Protocol[Departure]):
    """The energy of one batch as a function of d = z - zbar, the departure from a start zbar.

    F is the batch mean; gradients are per sample, B dF/dz, so that their size does not depend on B.
    A departure is written by its own size: that is what keeps the tiny errors of a deep network's
    lower layers in float32 (`pccore.local`).
    """

    @property
    def batch_size(self) -> int:
        """B."""
        ...

    def origin(self, reach: int | None = None) -> Departure:
        """The departure of the start itself, zero, of all layers or of the topmost `reach`."""
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

    def weight_gradients(self, departure: Departure) -> object:
        """dF/dW at zbar + departure, in the shape of the network."""
        ...

    def wave(self, steps: int) -> list[tuple[int, int]]:
        """How far local updates can have reached: pairs (reach, step).

        Until `step`, only the topmost `reach` layers can have left the start. The last step is
        `steps`. A relaxation without this structure returns one pair, for all of its layers.
        """
        ...

    def reaching(self, departure: Departure, reach: int) -> Departure:
        """The same departure, written for the topmost `reach` layers."""
        ...
