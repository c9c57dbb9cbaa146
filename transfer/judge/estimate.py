"""Estimates with 95% intervals, read off draws of a posterior distribution."""

import math
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

LEVEL = 0.95
"""The probability that an interval has."""
TAIL = (1 - LEVEL) / 2
"""The probability beyond each end of a central interval."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval.

    Attributes:
        value: the number; NaN if it may be any.
        low: the lower bound; NaN without an interval, -inf where the runs give no lower bound.
        high: the upper bound; NaN without an interval, inf where the runs give no upper bound.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def bounded(self) -> bool:
        """Whether the interval has two finite bounds."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def summarise(
    draws: ndarray,
    *,
    below: bool = False,
    above: bool = False,
    tails: tuple[float, float] = (TAIL, TAIL),
) -> Estimate:
    """Return the median of the draws (R,) with their 95% interval.

    Without either bound there is no median: draws end where the cells do.

    Args:
        draws: draws from the posterior distribution.
        below: whether the quantity may lie anywhere below, so that there is no lower bound.
        above: whether it may lie anywhere above.
        tails: the probabilities below and above the interval; by default it is central.
    """
    if below and above:
        return Estimate(math.nan, -math.inf, math.inf)
    low, value, high = np.quantile(draws, [tails[0], 0.5, 1 - tails[1]])
    return Estimate(
        float(value), -math.inf if below else float(low), math.inf if above else float(high)
    )


def exponential(found: Estimate) -> Estimate:
    """Return the estimate of 2^x from that of x; an open side stays open, at -inf below."""
    low = found.low if found.low == -math.inf else 2.0**found.low
    return Estimate(2.0**found.value, low, 2.0**found.high)
