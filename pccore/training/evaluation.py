"""What a callback of a training receives at every evaluation."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import PyTree

from pccore.networks.base import AbstractNetwork


@dataclass(frozen=True, eq=False)
class Evaluation:
    """An evaluation of all lanes during training.

    Attributes:
        step: weight updates done.
        train_loss: mean training loss per sample since the last evaluation, per lane; NaN once a
            lane has diverged, and before the first update.
        test_loss: loss per sample on the test set, per lane.
        test_accuracy: share of test samples classified correctly, per lane; NaN for regressions.
    """

    step: int
    train_loss: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    _networks: PyTree

    def network(self, lane: int = 0) -> AbstractNetwork:
        """Return a copy of a lane's network as it is now.

        To be called inside the callback: the next update reuses the memory of these weights.
        """
        network: AbstractNetwork = jax.tree.map(lambda weights: weights[lane], self._networks)
        return network
