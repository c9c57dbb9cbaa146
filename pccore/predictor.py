"""A trained network together with the preprocessing of its data."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from pccore.data import Dataset
from pccore.networks.base import AbstractNetwork


class Predictor(eqx.Module):
    """A network that takes raw samples, standardised as those that it was trained on.

    Call it: `predictor(x)` is `network.predict((x - mean) / std)`, with x standardised feature by
    feature before where the data set was.

    Attributes:
        network: the weights; its `predict` takes standardised samples.
        mean: what is subtracted from every input, in raw units.
        std: what every input is divided by after that.
        feature_mean: (D,), subtracted from each input first, in raw units; None if nothing is.
        feature_std: (D,), the divisor after that.
    """

    network: AbstractNetwork
    mean: float = eqx.field(static=True, default=0.0)
    std: float = eqx.field(static=True, default=1.0)
    feature_mean: np.ndarray | None = None
    feature_std: np.ndarray | None = None

    def __call__(self, x: ArrayLike) -> Float[Array, "B K"]:
        """Return the outputs (B, K) for raw samples (B, D).

        With cross-entropy they are logits.
        """
        if self.feature_mean is None or self.feature_std is None:
            return self.of_stored(x)
        # As data sets do: in double precision, for a feature may be far from zero.
        raw = x if isinstance(x, jax.Array) else np.asarray(x, np.float32)
        return self.of_stored((raw - self.feature_mean) / self.feature_std)

    def of_stored(self, x: ArrayLike) -> Float[Array, "B K"]:
        """Return the outputs (B, K) for samples as a `Dataset` stores them, such as its `test_x`.

        They differ from raw samples only where features were standardised by themselves.
        """
        return self.network.predict((jnp.asarray(x, jnp.float32) - self.mean) / self.std)

    def labels(self, x: ArrayLike) -> Int[Array, " B"]:
        """Return the class with the largest output for each raw sample (B, D)."""
        return jnp.argmax(self(x), axis=-1)

    def accuracy(self, x: ArrayLike | Dataset, labels: ArrayLike | None = None) -> float:
        """Return the share of samples whose class is that of their label.

        Args:
            x: raw samples (B, D); or a data set, of which the test set is taken.
            labels: (B,), of raw samples: numbers of classes from 0.

        Raises:
            ValueError: samples have no labels, or their labels are no whole numbers (B,).
        """
        if isinstance(x, Dataset):
            found, labels = jnp.argmax(self.of_stored(x.test_x), axis=-1), x.test_y
        else:
            found = self.labels(x)
        if labels is None:
            raise ValueError("accuracy needs labels for samples that are no pccore.data.Dataset")
        given = np.asarray(labels)
        if given.shape != found.shape or given.dtype.kind not in "biu":
            raise ValueError(
                f"labels must be {len(found)} whole numbers, the classes from 0 as in the data "
                f"set's train_y, got {given.dtype} of shape {given.shape}"
            )
        return float(np.mean(np.asarray(found) == given))
