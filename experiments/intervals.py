"""Intervals of means over seeds, by which claims about differences are judged."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean and the bounds of its two-sided 95% interval, by Student's t over seeds.

    Attributes:
        mean: the mean.
        low: the lower bound; minus infinity for a single value.
        high: the upper bound; infinity for a single value.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Interval":
        """Return the interval of the mean of independent values."""
        from scipy import stats  # type: ignore[import-untyped]

        found = np.asarray(list(values), float)
        mean = float(found.mean())
        if len(found) < 2:
            return cls(mean, -np.inf, np.inf)
        reach = float(stats.t.ppf((1 + LEVEL) / 2, len(found) - 1) * stats.sem(found))
        return cls(mean, mean - reach, mean + reach)

    def above(self, limit: float) -> bool | None:
        """Return whether the interval lies above a limit; None if it covers the limit."""
        if self.low > limit:
            return True
        return False if self.high <= limit else None

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


def all_of(parts: Iterable[bool | None]) -> bool | None:
    """Return False if any part is, otherwise None if any part is, otherwise True."""
    found = list(parts)
    if False in found:
        return False
    return None if None in found else True
