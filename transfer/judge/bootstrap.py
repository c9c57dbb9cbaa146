"""Estimates with their 95% bootstrap intervals over seeds: pure functions.

Seeds are resampled as a whole: at one shape a seed is the same draw for every cell. At two shapes
it is not, so that shapes are resampled independently. With three seeds an interval spans about the
three values, and covers less than it says: fitted exponents 84% of the time, 88% with five seeds
and 92% with ten (three shapes, 300 synthetic landscapes each).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

RESAMPLES = 4000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap interval, whose bounds are NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def bounded(self) -> bool:
        """Whether it has an interval."""
        return not (math.isnan(self.low) or math.isnan(self.high))


def resample(generator: np.random.Generator, seeds: int) -> ndarray:
    """How often each seed is drawn in each resample (R, S); a single seed has no resamples."""
    size = RESAMPLES if seeds > 1 else 0
    return generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=size)


def estimate(value: float, resampled: ndarray) -> Estimate:
    """The value with the interval that its resamples (R,) span; those that are NaN do not count."""
    resampled = resampled[~np.isnan(resampled)]
    if resampled.size == 0:
        return Estimate(float(value))
    tail = (1 - LEVEL) / 2
    return Estimate(
        float(value),
        # Neither bound is interpolated: some resamples may be infinite.
        float(np.quantile(resampled, tail, method="lower")),
        float(np.quantile(resampled, 1 - tail, method="higher")),
    )
