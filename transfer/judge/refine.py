"""The optimum of one shape, resolved between the cells of the grid.

The log losses of the shape are a Gaussian process (`transfer.judge.surface`). The optimum of each
draw is sought between the cells that ran, in all rates at once: where only the product of two rates
matters, the draws lie along a ridge, and neither rate has an optimum of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from results.landscape import Cell, Landscape, optimum
from transfer.judge.comparison import near_optimum
from transfer.judge.estimate import Estimate, exponential
from transfer.judge.observations import floor_of, searched_rates
from transfer.judge.region import Optima
from transfer.judge.surface import Posterior
from transfer.space import Side, Space


@dataclass(frozen=True)
class RefinedOptimum:
    """The optimum of one shape, between the cells of the grid.

    Attributes:
        cell: the best cell of the grid.
        rates: the rates with several values.
        optima: draws of the optimum, an axis for each of the rates.
        edges: the rates in which `cell` lies on the edge of the grid, and on which side: a better
            cell may lie beyond.
        seeds: the seeds that trained. One seed gives no intervals.
    """

    cell: Cell
    rates: tuple[str, ...]
    optima: Optima
    edges: Mapping[str, Side]
    seeds: int

    @property
    def log_rates(self) -> dict[str, Float[ndarray, " R"]]:
        """Draws of the natural logarithm of the optimal rates, by rate."""
        return {
            rate: self.optima.places[:, axis] * np.log(2) for axis, rate in enumerate(self.rates)
        }

    def rate(self, name: str) -> Estimate:
        """Return the optimal rate with its interval."""
        found = exponential(self.optima.estimate(self.rates.index(name)))
        return found if self.seeds > 1 else Estimate(found.value)


def refine(
    landscape: Landscape, space: Space, seed: int = 0, untrained: float | None = None
) -> RefinedOptimum | None:
    """Return the optimum of a landscape over a space of lists; None if no cell trained.

    Args:
        landscape: the runs.
        space: the cells that could run.
        seed: different for each shape of a fit, so that their draws are independent.
        untrained: the loss before training, if it is known.
    """
    best = optimum(landscape)
    if best is None:
        return None
    rates = searched_rates(landscape)
    near, region = near_optimum(landscape, rates, floor_of(landscape, untrained=untrained))
    posterior = Posterior.of(near.only(np.zeros(len(near.means), bool)), near)
    draws = posterior.draw(target=region.points, seed=seed)[:, len(near.means) :]
    return RefinedOptimum(best, rates, region.optima(draws), space.edges(best), near.seeds)
