"""Probes: measurements on a network during training, in addition to losses."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from pccore.networks.base import NetworkT

Probed = tuple[dict[str, Array], ...]
"""The quantities of every probe, each with one value per lane, or per lane and layer."""


class Probe(ABC, Generic[NetworkT]):
    """A measurement on a network and one batch.

    Subclasses are frozen dataclasses, so that programs compile once. Training calls a probe before
    the first weight update and at every evaluation, on the first samples of the training set,
    compiled, for all lanes at once. Its cost per call must be bounded.
    """

    source: ClassVar[str]
    """The source that defines the quantities, for example "thesis 5.4.1"."""

    @abstractmethod
    def measure(
        self,
        network: NetworkT,
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, "..."]]:
        """Return by quantity a scalar, or one number per layer, shape (L,), from the bottom up.

        NaN stands for a number that does not exist.
        """


class Reading(NamedTuple):
    """One measured number.

    Attributes:
        step: weight updates done before the measurement.
        quantity: name of the quantity.
        value: the number, NaN where it does not exist.
        source: the source that defines the quantity.
        layer: the layer that it is about, counted from 1; None for the whole network.
    """

    step: int
    quantity: str
    value: float
    source: str
    layer: int | None = None


def readings_of(
    sources: Sequence[str], probed: Sequence[tuple[int, Probed]], lanes: int
) -> list[tuple[Reading, ...]]:
    """Return the readings of each lane, in order, from the results of the probes by step.

    Args:
        sources: the source of each probe.
        probed: the steps, and the results of all probes there.
        lanes: how many lanes.
    """
    found: list[list[Reading]] = [[] for _ in range(lanes)]
    for step, by_probe in probed:
        for source, quantities in zip(sources, by_probe, strict=True):
            for quantity, values in quantities.items():
                for own, value in zip(found, np.asarray(values), strict=True):
                    layers = enumerate(value, 1) if value.ndim else [(None, value)]
                    own += [
                        Reading(step, quantity, float(one), source, layer) for layer, one in layers
                    ]
    return [tuple(own) for own in found]
