"""Weight optimisers with a traced learning rate: the interface, Adam and SGD."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import jax
import optax
from jaxtyping import PyTree

from pccore.relaxation import Scalar
from pccore.schedules import Schedule
from pccore.validation import DecayRate, PositiveFloat, require_bounds, require_positive

Weights = TypeVar("Weights", bound=PyTree)
ADAPTIVE, PROPORTIONAL = "adam", "sgd"


@dataclass(frozen=True, kw_only=True)
class Optimiser(ABC):
    """Turns gradients into steps, of which the learning rate is a traced factor.

    Subclasses are frozen dataclasses, whose fields are their options.

    Attributes:
        clip: largest norm of the gradient over all weights; a larger gradient is scaled down to it
            before the optimiser sees it. None: no bound.
        schedule: how the learning rate changes while a network trains. None: it is constant.

    Raises:
        ValueError: `clip` is not positive.
    """

    like: ClassVar[str | None] = None
    """How steps depend on the size of gradients, on which Depth-muP's exponents depend: "adam" for
    steps that do not grow with gradients, "sgd" for steps in proportion, None if it is unknown."""

    clip: PositiveFloat | None = None
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        require_bounds(self)
        if self.clip is not None:
            require_positive(self, "clip")

    @abstractmethod
    def transformation(self) -> optax.GradientTransformation:
        """Return the Optax transformation, without its learning rate and the sign of descent."""

    def init(self, weights: Weights) -> optax.OptState:
        """Return the state before the first step."""
        return self.transformation().init(weights)

    def update(
        self, gradients: Weights, state: optax.OptState, weights: Weights, weight_lr: Scalar
    ) -> tuple[Weights, optax.OptState]:
        """Return the step, which training subtracts from the weights, and the next state."""
        direction, state = self.transformation().update(gradients, state, weights)
        return jax.tree.map(lambda d: weight_lr * d, direction), state

    def clipped(self, gradients: Weights) -> Weights:
        """Return the gradients scaled down to a norm of `clip`, if it is larger."""
        if self.clip is None:
            return gradients
        bound = optax.clip_by_global_norm(self.clip)
        return bound.update(gradients, bound.init(gradients))[0]


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

    like: ClassVar[str | None] = ADAPTIVE

    b1: DecayRate = 0.9
    b2: DecayRate = 0.999
    eps: PositiveFloat = 1e-8

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

    like: ClassVar[str | None] = PROPORTIONAL

    momentum: DecayRate = 0.0

    def transformation(self) -> optax.GradientTransformation:
        return optax.trace(self.momentum) if self.momentum else optax.identity()
