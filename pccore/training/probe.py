"""Probes: what is measured on a network while it trains, beside its losses."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from jaxtyping import Array, Float

Probed = tuple[dict[str, Array], ...]
"""Of every probe its quantities, each with a value per lane."""


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


def readings_of(
    probes: Sequence[Probe], probed: Sequence[tuple[int, Probed]], lanes: int
) -> list[tuple[Reading, ...]]:
    """What was measured on each lane, in order, from what the probes gave after some steps."""
    found: list[list[Reading]] = [[] for _ in range(lanes)]
    for step, by_probe in probed:
        for probe, quantities in zip(probes, by_probe, strict=True):
            for quantity, values in quantities.items():
                for own, value in zip(found, np.asarray(values), strict=True):
                    own.append(Reading(step, quantity, float(value), probe.source))
    return [tuple(own) for own in found]
