"""Gradient descent on all activities at once, restricted to the layers that can have moved."""

from dataclasses import dataclass

import jax
from jaxtyping import Array, Float

from pccore.inference.base import Inference
from pccore.relaxation import Departure, Relaxation
from pccore.validation import require_at_least


@dataclass(frozen=True)
class GradientDescent:
    """z <- z - beta dF/dz, `steps` = T times, every layer from the same z (thesis 5.3.2).

    The start is a forward pass, whose hidden errors are exactly zero. An error travels one layer a
    step, so step t moves the top t layers only. The computation follows this wave, in blocks: about
    half the products when T = H, and the same numbers.

    Attributes:
        steps: T. The documents use T = H (thesis C.4).

    Raises:
        ValueError: fewer than one step.
    """

    steps: int

    def __post_init__(self) -> None:
        require_at_least(self, 1, "steps")

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Float[Array, ""],
        departure: Departure | None = None,
    ) -> Inference[Departure]:
        """T steps; beta applies to the batch-mean energy, hence beta/B to each sample's."""
        rate = activity_lr / relaxation.batch_size

        def step(_: int, departure: Departure) -> Departure:
            slopes = relaxation.gradient(departure)
            return jax.tree.map(lambda d, g: d - rate * g, departure, slopes)

        if departure is not None:
            return Inference(jax.lax.fori_loop(0, self.steps, step, departure), self.steps)
        wave, done = relaxation.wave(self.steps), 0
        departure = relaxation.origin(wave[0][0])
        for reach, until in wave:
            departure = relaxation.reaching(departure, reach)
            departure = jax.lax.fori_loop(done, until, step, departure)
            done = until
        return Inference(departure, self.steps)
