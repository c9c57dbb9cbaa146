"""Standardisation of inputs by the training set."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from pccore.data.errors import DatasetError

Normalise = Literal["per feature", "global"] | tuple[float, float] | None
"""How inputs are standardised: each by itself, all together, by (mean, std), or not."""

_ROWS = 4096  # standardised at a time, so that no copy in double precision is needed


class Normalised(NamedTuple):
    """Inputs as stored, and how they are standardised.

    Attributes:
        train: training inputs (n, D).
        test: test inputs (m, D).
        mean: the mean by which a network sees them.
        std: the standard deviation by which a network sees them.
        feature_mean: (D,), subtracted before they were stored; None if nothing was.
        feature_std: (D,), the divisor after that, 1 for constant inputs.
    """

    train: np.ndarray
    test: np.ndarray
    mean: float
    std: float
    feature_mean: np.ndarray | None = None
    feature_std: np.ndarray | None = None


def normalised(train: np.ndarray, test: np.ndarray, how: Normalise) -> Normalised:
    """Return inputs as stored, and what has been or will be done to them.

    Where one mean and one std serve all inputs, they are stored as they are and standardised on the
    device, so that pixels take a byte each.

    Args:
        train: training inputs (n, D), uint8 or float32.
        test: test inputs (m, D).
        how: "per feature", "global", (mean, std) or None.

    Raises:
        DatasetError: `how` is none of these, or all inputs are constant.
    """
    if train.dtype != test.dtype:
        train, test = train.astype(np.float32), test.astype(np.float32)
    if how is None:
        return Normalised(train, test, 0.0, 1.0)
    if how not in ("per feature", "global"):
        return Normalised(train, test, *_given(how))
    mean, std = _moments(train)
    if not (std > 0).any():
        raise DatasetError(
            "every input is the same in all training samples: there is nothing to learn"
        )
    if how == "global":
        return Normalised(train, test, *_overall(mean, std))
    own = mean, np.where(std > 0, std, 1.0)
    return Normalised(standardised(train, *own), standardised(test, *own), 0.0, 1.0, *own)


def standardised(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return (x - mean) / std in float32."""
    stored = np.empty(x.shape, np.float32)
    for start in range(0, len(x), _ROWS):
        stored[start : start + _ROWS] = (x[start : start + _ROWS] - mean) / std
    return stored


def _given(how: object) -> tuple[float, float]:
    if isinstance(how, tuple | list) and len(how) == 2:
        mean, std = how
        if all(isinstance(v, int | float) and math.isfinite(v) for v in how) and std > 0:
            return float(mean), float(std)
    raise DatasetError(
        "normalise must be 'per feature', 'global', None or (mean, std) with a positive std, got "
        f"{how!r}"
    )


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation of every input, (D,) float64.

    Rows are added one after the other, in double precision: the sums are the same on every machine.
    A constant input has the deviation 0, without rounding.
    """
    mean = sum(part.sum(axis=0) for part in _doubles(x)) / len(x)
    square = sum(np.square(part - mean).sum(axis=0) for part in _doubles(x)) / len(x)
    constant = x.min(axis=0) == x.max(axis=0)
    return np.where(constant, x[0], mean), np.where(constant, 0.0, np.sqrt(square))


def _overall(mean: np.ndarray, std: np.ndarray) -> tuple[float, float]:
    """Return the mean and the standard deviation of all inputs together."""
    centre = math.fsum(mean) / len(mean)
    spread = math.fsum(np.square(std) + np.square(mean - centre)) / len(mean)
    return centre, math.sqrt(spread)


def _doubles(x: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(x), _ROWS):
        yield x[start : start + _ROWS].astype(np.float64)
