"""Langevin inference: gradient descent on the activities with noise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from pccore.inference.base import FixedSteps, Inference
from pccore.inference.gradient_descent import GradientDescent
from pccore.inference.iteration import Iterate, iterate
from pccore.relaxation import Departure, Relaxation, Scalar, descend
from pccore.validation import NonNegativeFloat

NOISE = 2**31 - 1
"""Folded into the key of a batch, from which a random start splits fewer keys than this."""


@dataclass(frozen=True)
class Langevin(FixedSteps):
    """z <- z - beta dF/dz + sqrt(2 tau beta / B) xi, xi ~ N(0, I), `steps` = T times (noisy
    inference, thesis 7.2.1; Zahid, Guo and Fountas, 2023, arXiv:2311.13664).

    The noise is drawn anew for every sample, unit and step. As beta -> 0 and T beta -> infinity the
    activities of sample i, of energy E_i with F = (1/B) sum_i E_i, have a density proportional to
    exp(-E_i / tau). At tau = 1 they are samples of the posterior of the model whose negative log
    density E_i is. In a linear network with r = beta / B and H_z = B d2F/dz2, they are Gaussian
    after every number of steps t, from z_0 fixed:

        mean         z* + (I - r H_z)^t (z_0 - z*)
        covariance   S - (I - r H_z)^t S (I - r H_z)^t,   S = tau [H_z (I - r H_z / 2)]^-1

    S is the covariance in the limit, which tends to tau H_z^-1 for small steps. The weight gradient
    averages over it: up to terms of order r it is that of F* + (tau / 2) log det H_z.

    Noise moves every layer from the first step on, and so do weight gradients: a layer that learned
    need not have been reached by an error.

    Attributes:
        steps: T.
        temperature: tau; at 0 it is `GradientDescent`, bit for bit.

    Raises:
        ValueError: `steps` is below one, or `temperature` is negative; in `infer`, there is no key.
    """

    temperature: NonNegativeFloat = 1.0
    draws: ClassVar[bool] = True
    stability_limit: ClassVar[float] = GradientDescent.stability_limit

    def curvature_of_growth(self, growth: float) -> float:
        """Return that of gradient descent, which the mean of the activities takes."""
        return GradientDescent(self.steps).curvature_of_growth(growth)

    def drawing(self, key: Array) -> "Langevin":
        return _WithNoise(self.steps, self.temperature, jax.random.fold_in(key, NOISE))

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None = None,
        observe: Callable[[Departure], PyTree[Array]] | None = None,
    ) -> Inference[Departure]:
        """Take T steps of the scheme that `drawing` returned."""
        raise ValueError("langevin draws noise: infer by scheme.drawing(key)")


@dataclass(frozen=True)
class _WithNoise(Langevin):
    """Langevin inference of one batch.

    Attributes:
        key: determines the noise.
    """

    key: Array | None = None

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None = None,
        observe: Callable[[Departure], PyTree[Array]] | None = None,
    ) -> Inference[Departure]:
        if self.temperature == 0:
            descent = GradientDescent(self.steps)
            return descent.infer(relaxation, activity_lr, departure, observe)
        rate = activity_lr / relaxation.batch_size
        size = jnp.sqrt(2 * self.temperature * rate)

        def advance(now: Iterate) -> Iterate:
            below = descend(now.departure, relaxation.gradient(now.departure), rate)
            return Iterate(self._noisy(below, size, now.memory), now.memory + 1, now.done)

        start = relaxation.origin() if departure is None else departure
        last, _, observed = iterate(advance, Iterate(start, jnp.array(0)), self.steps, observe)
        return Inference(last.departure, self.steps, observed=observed)

    def _noisy(self, departure: Departure, size: Array, step: Array) -> Departure:
        """Return the departure with the noise of one step."""
        assert self.key is not None
        leaves, structure = jax.tree.flatten(departure)
        keys = jax.random.split(jax.random.fold_in(self.key, step), len(leaves))
        moved = [
            d + size * jax.random.normal(k, d.shape, d.dtype)
            for d, k in zip(leaves, keys, strict=True)
        ]
        return jax.tree.unflatten(structure, moved)
