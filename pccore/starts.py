"""Starting points of inference: the departure from a forward pass before the first step."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import jax
from jaxtyping import Array

from pccore.registry import Registry, subclass_of
from pccore.relaxation import Departure, Relaxation
from pccore.validation import PositiveFloat, require_bounds


class Start(ABC):
    """The activities from which inference of a batch begins. Subclasses are frozen dataclasses."""

    @abstractmethod
    def departure(self, relaxation: Relaxation[Departure], key: Array) -> Departure | None:
        """Return the departure of the first activities from the relaxation's own start.

        Args:
            relaxation: the energy of a batch.
            key: a random key, different for every batch.

        Returns:
            A departure for all layers, or None for the relaxation's own start. From there
            `GradientDescent` moves no layer before an error has reached it.
        """


@dataclass(frozen=True)
class ForwardStart(Start):
    """z_l = f_l(z_{l-1}): a forward pass, the default of the thesis (5.3.2)."""

    def departure(self, relaxation: Relaxation[Departure], key: Array) -> Departure | None:
        return None


@dataclass(frozen=True)
class NormalStart(Start):
    """z_l ~ N(0, scale^2), drawn anew for every batch (thesis C.3.2, figure C.10).

    Attributes:
        scale: standard deviation of every activity.

    Raises:
        ValueError: `scale` is not positive.
    """

    scale: PositiveFloat = 1.0

    def __post_init__(self) -> None:
        require_bounds(self)

    def departure(self, relaxation: Relaxation[Departure], key: Array) -> Departure | None:
        leaves, structure = jax.tree.flatten(relaxation.activities(relaxation.origin()))
        keys = jax.random.split(key, len(leaves))
        drawn = [
            self.scale * jax.random.normal(k, z.shape, z.dtype) - z
            for k, z in zip(keys, leaves, strict=True)
        ]
        return jax.tree.unflatten(structure, drawn)


STARTS: Registry[type[Start]] = Registry(
    "start", {"forward": ForwardStart, "normal": NormalStart}, subclass_of(Start)
)
"""Where inference can start, by name."""
