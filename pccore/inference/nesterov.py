"""Nesterov's accelerated gradient descent on the activities, restarted sample by sample."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pccore.inference.base import FixedSteps, Inference
from pccore.inference.iteration import Iterate, iterate
from pccore.relaxation import Departure, Relaxation, Scalar, SteppedRelaxation, descend


class Momentum(NamedTuple):
    """The momentum of each sample before step k.

    Attributes:
        t: t_k.
        factor: (t_{k-1} - 1) / t_k, the momentum of the last step; zero before the first.
    """

    t: Float[Array, " B"]
    factor: Float[Array, " B"]


def momentum_curvature(growth: float) -> float:
    """Return the s = beta lambda / B with which a step with momentum 1 multiplies a mode by
    q = -growth, a root of q^2 - 2 (1 - s) q + (1 - s) = 0. It is 4/3 for growth 1.
    """
    return (1 + growth) ** 2 / (1 + 2 * growth)


@dataclass(frozen=True)
class Nesterov(FixedSteps):
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

    splits_batches: ClassVar[bool] = True
    stability_limit: ClassVar[float] = 4 / 3

    def curvature_of_growth(self, growth: float) -> float:
        """Solve |q|^T T^(-3/2) = growth, with q as in `momentum_curvature`.

        The momentum after k steps is about 1 - 3/k, and d log |q| / d momentum = 1/2 at the limit,
        which makes the product over k smaller by T^(-3/2).
        """
        return momentum_curvature((growth * self.steps**1.5) ** (1 / self.steps))

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

        # The step z_k - z_{k-1} is carried instead of y_k, which saves a pass over all activities.
        def advance(
            layers: tuple[Departure, ...], momentum: Momentum
        ) -> tuple[tuple[Departure, ...], Momentum]:
            z, step = layers
            ahead = stepped.scaled(step, momentum.factor)
            slopes = relaxation.gradient(jax.tree.map(jnp.add, z, ahead))
            step = descend(ahead, slopes, rate)
            t = jnp.where(stepped.inner(slopes, step) > 0, 1.0, momentum.t)
            faster = 0.5 * (1 + jnp.sqrt(1 + 4 * t**2))
            return (jax.tree.map(jnp.add, z, step), step), Momentum(faster, (t - 1) / faster)

        one = jnp.ones(relaxation.batch_size, jnp.result_type(rate))
        none = Momentum(one, jnp.zeros_like(one))
        if departure is None and observe is None:
            (z, _), _ = stepped.iterate_from_start(advance, 2, none, self.steps)
            return Inference(z, self.steps)
        first = relaxation.origin() if departure is None else departure

        def forward(now: Iterate) -> Iterate:
            step, momentum = now.memory
            (z, step), momentum = advance((now.departure, step), momentum)
            return Iterate(z, (step, momentum), now.done)

        start = Iterate(first, (jax.tree.map(jnp.zeros_like, first), none))
        last, _, observed = iterate(forward, start, self.steps, observe)
        return Inference(last.departure, self.steps, observed=observed)
