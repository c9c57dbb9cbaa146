"""Estimates from draws of which the quantiles are known."""

import math

import numpy as np
import pytest

from transfer.judge.estimate import Estimate, exponential, summarise

DRAWS = np.arange(1001.0)


def test_interval_leaves_a_fortieth_of_the_draws_at_each_side() -> None:
    central, other = summarise(DRAWS), summarise(DRAWS, tails=(0.005, 0.03))
    assert (central.value, central.low, central.high) == pytest.approx((500, 25, 975))
    assert (other.value, other.low, other.high) == pytest.approx((500, 5, 970))


def test_open_side_has_no_bound() -> None:
    assert summarise(DRAWS, above=True).high == math.inf
    assert summarise(DRAWS, above=True).low == pytest.approx(25)
    assert summarise(DRAWS, below=True).low == -math.inf
    assert summarise(DRAWS, below=True).value == 500
    both = summarise(DRAWS, below=True, above=True)
    assert math.isnan(both.value)
    assert (both.low, both.high) == (-math.inf, math.inf)


def test_exponential_keeps_open_sides() -> None:
    assert exponential(Estimate(1.0, -math.inf, 3.0)) == Estimate(2.0, -math.inf, 8.0)
    assert exponential(Estimate(0.0, -1.0, math.inf)) == Estimate(1.0, 0.5, math.inf)


@pytest.mark.parametrize(
    ("low", "high", "bounded"),
    [(0.0, 1.0, True), (math.nan, 1.0, False), (0.0, math.inf, False), (-math.inf, 1.0, False)],
)
def test_interval_is_bounded_by_two_numbers(low: float, high: float, bounded: bool) -> None:
    assert Estimate(0.5, low, high).bounded == bounded
