"""Estimates with 95% bootstrap intervals over seeds: pure functions.

Seeds are resampled as a whole, as a seed is the same draw for every cell of one shape. Shapes are
resampled independently, as a seed is not the same draw at two shapes. With three seeds an interval
spans about the three values and covers less than its nominal 95%: intervals of fitted exponents
cover 84% with three seeds, 88% with five and 92% with ten (three shapes, 300 synthetic landscapes
each).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

RESAMPLES = 4000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap interval; the bounds are NaN if there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def bounded(self) -> bool:
        """Whether there is an interval."""
        return not (math.isnan(self.low) or math.isnan(self.high))


def resample(generator: np.random.Generator, seeds: int) -> ndarray:
    """Return how often each resample draws each seed (R, S); R is 0 for a single seed."""
    size = RESAMPLES if seeds > 1 else 0
    return generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=size)


def estimate(value: float, resampled: ndarray) -> Estimate:
    """Return the value with the interval that its resamples (R,) span, NaN excluded."""
    resampled = resampled[~np.isnan(resampled)]
    if resampled.size == 0:
        return Estimate(float(value))
    tail = (1 - LEVEL) / 2
    return Estimate(
        float(value),
        # No interpolation: resamples may be infinite.
        float(np.quantile(resampled, tail, method="lower")),
        float(np.quantile(resampled, 1 - tail, method="higher")),
    )
