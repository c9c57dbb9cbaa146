"""Probes: what is measured on a network while it trains, beside its losses."""

from typing import Any, ClassVar, NamedTuple, Protocol

from jaxtyping import Array, Float


class Probe(Protocol):
    """Measures a network on one batch. A frozen dataclass, so that programs are compiled once.

    Training calls it before the first weight update and at every evaluation, on the first samples
    of the training set, compiled, for all lanes at once: its cost per call must be bounded.
    """

    source: ClassVar[str]
    """Where its quantities are defined, for example "thesis 5.4.1"."""

    def measure(
        self,
        network: Any,
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """Scalars by the names of their quantities; NaN where one does not exist."""
        ...


class Reading(NamedTuple):
    """One measured number.

    Attributes:
        step: weight updates done before it.
        quantity: its name.
        value: the number, NaN where it does not exist.
        source: where it is defined.
    """

    step: int
    quantity: str
    value: float
    source: str
