"""Weight optimisers with a traced learning rate: Optax transformations chosen by class."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import optax

from pccore.registry import Registry
from pccore.validation import DecayRate, PositiveFloat, require_bounds


class Optimiser(ABC):
    """Turns gradients into a step, which training multiplies by -eta.

    Subclasses are frozen dataclasses.
    """

    @abstractmethod
    def transformation(self) -> optax.GradientTransformation:
        """Return the Optax transformation, without its learning rate."""


@dataclass(frozen=True)
class Adam(Optimiser):
    """Adam (Kingma and Ba, 2015).

    `eps` is added to the root of the second moment. It can matter at large depth, where the
    gradients of muPC's lowest layers are tiny (thesis 5.8).

    Attributes:
        b1: decay rate of the mean of the gradients.
        b2: decay rate of the mean of their squares.
        eps: term added to the root of the second moment.

    Raises:
        ValueError: `b1` or `b2` is outside [0, 1), or `eps` is not positive.
    """

    b1: DecayRate = 0.9
    b2: DecayRate = 0.999
    eps: PositiveFloat = 1e-8

    def __post_init__(self) -> None:
        require_bounds(self)

    def transformation(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(b1=self.b1, b2=self.b2, eps=self.eps)


@dataclass(frozen=True)
class SGD(Optimiser):
    """Gradient descent, with heavy-ball momentum when `momentum` > 0.

    Attributes:
        momentum: decay rate of the sum of past gradients.

    Raises:
        ValueError: `momentum` is outside [0, 1).
    """

    momentum: DecayRate = 0.0

    def __post_init__(self) -> None:
        require_bounds(self)

    def transformation(self) -> optax.GradientTransformation:
        return optax.trace(self.momentum) if self.momentum else optax.identity()


OPTIMISERS: Registry[type[Optimiser]] = Registry("optimiser", {"adam": Adam, "sgd": SGD})
