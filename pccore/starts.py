"""Where inference begins: how activities depart from a forward pass before the first step."""

from dataclasses import dataclass
from typing import Protocol

import jax
from jaxtyping import Array

from pccore.registry import Registry
from pccore.relaxation import Departure, Relaxation
from pccore.validation import require_positive


class Start(Protocol):
    """Gives the activities from which a batch's inference begins."""

    def departure(self, relaxation: Relaxation[Departure], key: Array) -> Departure | None:
        """The departure of those activities from the relaxation's own start.

        Args:
            relaxation: the energy of a batch.
            key: another one for every batch.

        Returns:
            A departure for all layers, or None for the relaxation's own start, from where
            `GradientDescent` moves no layer before an error has reached it.
        """
        ...


@dataclass(frozen=True)
class ForwardStart:
    """z_l = f_l(z_{l-1}): a forward pass, the documents' default (thesis 5.3.2)."""

    def departure(self, relaxation: Relaxation[Departure], key: Array) -> Departure | None:
        return None


@dataclass(frozen=True)
class NormalStart:
    """z_l ~ N(0, scale^2), drawn anew for every batch (thesis C.3.2, figure C.10).

    Attributes:
        scale: standard deviation of every activity.

    Raises:
        ValueError: a scale that is not positive.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "scale")

    def departure(self, relaxation: Relaxation[Departure], key: Array) -> Departure | None:
        leaves, structure = jax.tree.flatten(relaxation.activities(relaxation.origin()))
        keys = jax.random.split(key, len(leaves))
        drawn = [
            self.scale * jax.random.normal(k, z.shape, z.dtype) - z
            for k, z in zip(keys, leaves, strict=True)
        ]
        return jax.tree.unflatten(structure, drawn)


STARTS: Registry[type[Start]] = Registry("start", {"forward": ForwardStart, "normal": NormalStart})
