"""The region of the optimum on a page: it holds the true optimum, and shrinks with the noise."""

import numpy as np
import pytest

from results.landscape import Cell, Landscape
from transfer.judge.credible import credible_region

ETAS, BETAS = 2.0 ** np.arange(-8, -1), 2.0 ** np.arange(-3, 4)


def bowl(draw: np.random.Generator, at: tuple[float, float], noise: float, seeds: int) -> Landscape:
    """Return a quadratic bowl in the logarithms, with its lowest point at (log2 eta, log2 beta)."""
    cells = [Cell(float(eta), float(beta)) for eta in ETAS for beta in BETAS]
    logs = np.array([[np.log2(eta), np.log2(beta)] for eta in ETAS for beta in BETAS])
    losses = np.log(0.1) + 0.08 * ((logs - at) ** 2).sum(axis=1)[:, None]
    return Landscape.of_losses(
        cells, np.exp(losses + noise * draw.standard_normal((len(cells), seeds)))
    )


def area(found: Landscape) -> float:
    region = credible_region(found)
    assert region is not None
    return float(sum(np.prod([np.log2(b / a) for a, b in tile]) for tile in region.tiles))


@pytest.mark.slow
def test_region_holds_the_optimum_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(30):
        at = draw.uniform(-6.5, -3.5), draw.uniform(-1.5, 1.5)
        region = credible_region(bowl(draw, at, 0.05, 3))
        assert region is not None
        point = [2.0**each for each in at]
        held += any(
            all(low <= value <= high for value, (low, high) in zip(point, tile, strict=True))
            for tile in region.tiles
        )
    assert held >= 25  # of 30: fewer have a probability below 1 % if it is 95 %


def test_region_is_larger_where_the_runs_say_less() -> None:
    draw = np.random.default_rng(1)
    assert area(bowl(draw, (-5.0, 0.0), 0.01, 3)) < area(bowl(draw, (-5.0, 0.0), 0.3, 3))


def test_estimates_are_those_of_the_optimum() -> None:
    region = credible_region(bowl(np.random.default_rng(2), (-5.0, 0.5), 0.01, 3))
    assert region is not None
    assert region.rates == ("weight_lr", "activity_lr")
    for rate, true in (("weight_lr", 2.0**-5), ("activity_lr", 2.0**0.5)):
        found = region.estimates[rate]
        assert found.low <= true <= found.high
        assert found.value == pytest.approx(true, rel=0.15)


@pytest.mark.parametrize("losses", [[[0.1, 0.2]] * 2, [[0.3]] * 9, [[np.nan, np.nan]] * 9])
def test_nothing_is_said_of_few_cells_or_one_seed(losses: list[list[float]]) -> None:
    cells = [Cell(float(2.0**-k), None) for k in range(len(losses))]
    assert credible_region(Landscape.of_losses(cells, np.array(losses))) is None
