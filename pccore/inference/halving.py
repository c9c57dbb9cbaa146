"""Gradient descent whose step size halves when a step does not lower the energy."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from pccore.inference.base import Inference, InferenceScheme
from pccore.inference.iteration import Iterate, iterate
from pccore.relaxation import Departure, Relaxation, Scalar, descend
from pccore.validation import NonNegativeInt, PositiveInt


@dataclass(frozen=True)
class Halving(InferenceScheme):
    """z <- z - beta dF/dz, with beta halved when a step does not lower F (thesis A.1.2).

    beta is halved at most `halvings` times. Inference ends at the next step that fails to lower F,
    the energy of the batch, or after `max_steps` steps. A failed step is undone, so that the energy
    never rises; the thesis and its source (Song et al., 2022) do not specify this.

    Attributes:
        max_steps: T, including failed steps (thesis A.1.2: 500, from beta = 0.1; A.1.3: 1000).
        halvings: maximum number of halvings of beta.

    Raises:
        ValueError: `max_steps` is below one, or `halvings` is negative.
    """

    max_steps: PositiveInt = 500
    halvings: NonNegativeInt = 2

    @property
    def step_limit(self) -> int:
        return self.max_steps

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None = None,
        observe: Callable[[Departure], PyTree[Array]] | None = None,
    ) -> Inference[Departure]:
        """Descend; `converged` is whether F stopped falling within `max_steps`."""
        rate = jnp.asarray(activity_lr / relaxation.batch_size)

        def energy(departure: Departure) -> Array:
            return jnp.sum(relaxation.energies(departure))

        def advance(now: Iterate) -> Iterate:
            before, halved = now.memory
            slopes = relaxation.gradient(now.departure)
            tried = descend(now.departure, slopes, jnp.ldexp(rate, -halved))
            after = energy(tried)
            fell = after < before
            kept = jax.tree.map(lambda t, d: jnp.where(fell, t, d), tried, now.departure)
            halved = halved + ~fell
            memory = jnp.where(fell, after, before), halved
            return Iterate(kept, memory, halved > self.halvings)

        start = relaxation.origin() if departure is None else departure
        first = Iterate(start, (energy(start), jnp.array(0)))
        last, taken, observed = iterate(advance, first, self.max_steps, observe)
        return Inference(last.departure, taken, jnp.asarray(last.done), observed=observed)
