"""Bootstrap intervals over seeds, on resamples that can be counted by hand."""

import math

import numpy as np
import pytest

from transfer.judge.bootstrap import Estimate, estimate, resample


@pytest.mark.parametrize(("seeds", "resampled"), [(1, False), (2, True), (3, True)])
def test_one_seed_has_no_resamples(seeds: int, resampled: bool) -> None:
    weights = resample(np.random.default_rng(0), seeds)
    assert weights.shape[1] == seeds
    assert (len(weights) > 0) == resampled
    assert (weights.sum(axis=1) == seeds).all()


def test_interval_leaves_a_fortieth_of_the_resamples_at_each_side() -> None:
    found = estimate(7, np.arange(1001.0))
    assert found == Estimate(7.0, 25.0, 975.0)


def test_bounds_are_resamples_even_if_others_are_infinite() -> None:
    found = estimate(1, np.array([1.0, 2.0, math.inf]))
    assert (found.low, found.high) == (1.0, math.inf)


def test_missing_resamples_do_not_count() -> None:
    assert estimate(2, np.array([math.nan, 3.0])) == Estimate(2.0, 3.0, 3.0)
    assert not estimate(2, np.array([math.nan])).bounded


@pytest.mark.parametrize(
    ("low", "high", "bounded"), [(0.0, 1.0, True), (math.nan, 1.0, False), (0.0, math.nan, False)]
)
def test_interval_is_bounded_by_two_numbers(low: float, high: float, bounded: bool) -> None:
    assert Estimate(0.5, low, high).bounded == bounded
