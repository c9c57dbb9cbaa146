"""The split of samples into a training and a test set."""

import numpy as np

from pccore.data.errors import DatasetError

DEFAULT_TEST = 0.2
MOST_SEED = 2**32 - 1


def split(y: np.ndarray, test: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the training and of the test samples, in an order drawn by `seed`.

    Labels (n,) are split class by class, and every class keeps a training sample.

    Args:
        y: labels (n,) or targets (n, K).
        test: the share of the test set.
        seed: of the order.

    Raises:
        DatasetError: `test` is not between 0 and 1, `seed` is none, or the test set would be empty.
    """
    if isinstance(test, bool) or not isinstance(test, int | float) or not 0 < test < 1:
        raise DatasetError(f"test must be a share between 0 and 1, got {test!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MOST_SEED:
        raise DatasetError(f"seed must be an integer from 0 to {MOST_SEED:,}, got {seed!r}")
    # RandomState, not default_rng: NumPy guarantees that its stream never changes.
    order = np.random.RandomState(seed).permutation(len(y))
    groups = y[order] if y.ndim == 1 else np.zeros(len(y), np.int32)
    chosen = np.zeros(len(y), bool)
    by_class = np.argsort(groups, kind="stable")
    for members in np.split(by_class, np.flatnonzero(np.diff(groups[by_class])) + 1):
        chosen[members[: min(round(test * len(members)), len(members) - 1)]] = True
    if not chosen.any():
        raise DatasetError(
            f"test = {test:g} of {len(y)} samples is an empty test set: give more samples, a "
            "larger share, or a test set"
        )
    return order[~chosen], order[chosen]
