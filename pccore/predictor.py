"""A trained network together with the preprocessing of its data."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from pccore.networks.base import AbstractNetwork


class Predictor(eqx.Module):
    """A network that takes raw samples, as they are in the data set that it was trained on.

    Call it: `predictor(x)` is `network.predict((x - mean) / std)`.

    Attributes:
        network: the weights; its `predict` takes standardised samples.
        mean: what is subtracted from every input, in raw units.
        std: what every input is divided by after that.
    """

    network: AbstractNetwork
    mean: float = eqx.field(static=True, default=0.0)
    std: float = eqx.field(static=True, default=1.0)

    def __call__(self, x: ArrayLike) -> Float[Array, "B K"]:
        """Return the outputs (B, K) for raw samples (B, D).

        With cross-entropy they are logits.
        """
        return self.network.predict((jnp.asarray(x, jnp.float32) - self.mean) / self.std)

    def labels(self, x: ArrayLike) -> Int[Array, " B"]:
        """Return the class with the largest output for each raw sample (B, D)."""
        return jnp.argmax(self(x), axis=-1)

    def accuracy(self, x: ArrayLike, labels: ArrayLike) -> float:
        """Return the share of raw samples (B, D) whose class is that of `labels` (B,)."""
        return float(np.mean(np.asarray(self.labels(x)) == np.asarray(labels)))
