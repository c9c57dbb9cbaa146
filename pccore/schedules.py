"""Schedules of the learning rate: factors of eta, so that eta is what is searched."""

from dataclasses import dataclass

import optax
from jaxtyping import Array, Float, Int

from pccore.registry import Registry
from pccore.validation import NonNegativeFloat, NonNegativeInt, require_bounds

CONSTANT, LINEAR, COSINE = "constant", "linear", "cosine"

DECAYS: Registry[str] = Registry("decay", {name: name for name in (CONSTANT, LINEAR, COSINE)})
"""Shapes of the decay."""


@dataclass(frozen=True)
class Schedule:
    """Warm-up, then decay: update t has the learning rate eta s(t).

    s rises as (t + 1) / warmup, is 1 at t = warmup, and falls to `final` at the end of training.

    Attributes:
        warmup: updates in which the rate rises.
        decay: shape of the fall: "constant" (none), "linear" or "cosine" (Optax's schedules).
        final: s at the end of training, at most 1.

    Raises:
        ValueError: `warmup` is negative, `decay` is unknown, or `final` is outside of 0 to 1.
    """

    warmup: NonNegativeInt = 0
    decay: str = CONSTANT
    final: NonNegativeFloat = 0.0

    def __post_init__(self) -> None:
        require_bounds(self)
        DECAYS[self.decay]
        if self.final > 1:
            raise ValueError(f"final must be at most 1, got {self.final}")

    def factor(self, step: Int[Array, ""] | int, steps: int) -> Float[Array, ""] | float:
        """Return s of update `step`, counted from 0, in a training of `steps`."""
        length = max(1, steps - self.warmup)
        fall = {
            CONSTANT: optax.constant_schedule(1.0),
            LINEAR: optax.linear_schedule(1.0, self.final, length),
            COSINE: optax.cosine_decay_schedule(1.0, length, self.final),
        }[self.decay]
        if not self.warmup:
            return fall(step)
        rise = optax.linear_schedule(1 / self.warmup, 1.0, self.warmup - 1)
        return optax.join_schedules([rise, fall], [self.warmup])(step)
