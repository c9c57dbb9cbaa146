"""Nesterov's accelerated gradient descent on the activities, restarted sample by sample."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pccore.inference.base import Inference, InferenceScheme
from pccore.inference.iteration import Iterate, iterate
from pccore.relaxation import Departure, Relaxation, Scalar, SteppedRelaxation, descend
from pccore.validation import PositiveInt, require_bounds


@dataclass(frozen=True)
class Nesterov(InferenceScheme):
    """Gradient descent with Nesterov momentum, `steps` = T times from a forward pass.

        z_{k+1} = y_k - beta dF/dz(y_k)
        t_{k+1} = (1 + sqrt(1 + 4 t_k^2)) / 2,                  t_0 = 1
        y_{k+1} = z_{k+1} + (t_k - 1) / t_{k+1} (z_{k+1} - z_k)

    (Nesterov, 1983). A sample whose gradient points along its step, that is with
    <dF/dz(y_k), z_{k+1} - z_k> > 0, restarts with t = 1 (O'Donoghue and Candes, 2015). Restarts are
    per sample, so a sample's activities do not depend on the rest of the batch.

    On a quadratic energy the iteration is bounded for beta lambda_max / B < 4/3, lambda_max the
    largest eigenvalue of B d2F/dz2; plain descent allows 2. An error travels one layer per step, as
    with `GradientDescent`, and the computation follows the same wave. T = H is too short for the
    signal to come down and settle; use T = 2H.

    Attributes:
        steps: T.

    Raises:
        ValueError: `steps` is below one; in `infer`, a network without separate samples.
    """

    steps: PositiveInt
    uses_activity_lr: ClassVar[bool] = True
    stable_limit: ClassVar[float | None] = 4 / 3
    splits_batches: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_bounds(self)

    @property
    def step_limit(self) -> int:
        return self.steps

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None = None,
        observe: Callable[[Departure], PyTree[Array]] | None = None,
    ) -> Inference[Departure]:
        """Take T steps. beta applies to the batch-mean energy, hence beta/B to each sample's."""
        if not isinstance(relaxation, SteppedRelaxation):
            raise ValueError(f"nesterov cannot infer a {type(relaxation).__name__}")
        stepped: SteppedRelaxation[Departure] = relaxation
        rate = activity_lr / relaxation.batch_size

        def advance(
            layers: tuple[Departure, ...], t: Float[Array, " B"]
        ) -> tuple[tuple[Departure, ...], Float[Array, " B"]]:
            z, y = layers
            slopes = relaxation.gradient(y)
            moved = descend(y, slopes, rate)
            step = jax.tree.map(jnp.subtract, moved, z)
            t = jnp.where(stepped.inner(slopes, step) > 0, 1.0, t)
            faster = 0.5 * (1 + jnp.sqrt(1 + 4 * t**2))
            momentum = stepped.scaled(step, (t - 1) / faster)
            return (moved, jax.tree.map(jnp.add, moved, momentum)), faster

        one = jnp.ones(relaxation.batch_size, jnp.result_type(rate))
        if departure is None and observe is None:
            (z, _), _ = stepped.iterate_from_start(advance, 2, one, self.steps)
            return Inference(z, self.steps)
        first = relaxation.origin() if departure is None else departure

        def forward(now: Iterate) -> Iterate:
            y, t = now.memory
            (z, y), t = advance((now.departure, y), t)
            return Iterate(z, (y, t), now.done)

        last, _, observed = iterate(forward, Iterate(first, (first, one)), self.steps, observe)
        return Inference(last.departure, self.steps, observed=observed)
