"""Protocols of networks that are a sequence of layers."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

from pccore.losses import OutputEnergy

Layers = Sequence[Callable[[Array], Array]]
"""f_1 .. f_L, from the activities of one layer to the prediction of the next."""


@runtime_checkable
class LayeredConfig(Protocol):
    """The settings that determine the energy of a sequence of layers; see `pccore.energy`."""

    @property
    def input_size(self) -> int: ...

    @property
    def output_energy(self) -> OutputEnergy: ...

    @property
    def precisions(self) -> tuple[float, ...]: ...

    @property
    def activity_decay(self) -> float: ...

    @property
    def spans(self) -> tuple[int, ...]:
        """For each layer n, where z_{l-n} is added to f_l(z_{l-1}); 0 for none, () for no layer."""
        ...


@runtime_checkable
class LayeredNetwork(Protocol):
    """A network that is a sequence of layers."""

    @property
    def config(self) -> LayeredConfig: ...

    def layers(self) -> Layers:
        """Return f_1 .. f_L for a batch."""
        ...

    def predict(self, x: Float[Array, "B D"]) -> Float[Array, "B K"]:
        """Return the output of a forward pass."""
        ...
