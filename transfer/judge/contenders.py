"""The cells of a search that may be better than the best one so far, and need more seeds."""

import math

import numpy as np

from results.landscape import Cell, Landscape
from transfer.judge.observations import PRIOR_NOISE, Observations, floor_of, searched_rates

REGRET = 0.05
"""The excess of a loss that a search accepts: cells that are better by less are as good."""
QUANTILE = 1.0
"""Standard deviations of a difference beyond which a cell is no contender."""


def contenders(landscape: Landscape, best: Cell) -> tuple[Cell, ...]:
    """Return the cells that may be better than `best` by more than `REGRET`.

    One seed more of each tells: their mean log losses, adjusted for the seeds that ran, differ from
    that of `best` by less than their noise allows, pooled over all cells.

    Args:
        landscape: the runs so far; those that do not exist have the status `NOT_RUN`.
        best: the best cell so far, of which at least one run trained.
    """
    found = Observations.of(landscape, searched_rates(landscape), floor=_floor(landscape))
    at_best = np.flatnonzero(found.places == landscape.place(best))
    if not len(at_best):
        return ()
    place = int(at_best[0])
    noise = math.sqrt(found.variance(PRIOR_NOISE))
    error = noise * np.sqrt(1 / found.counts + 1 / found.counts[place])
    gain = found.means[place] - found.means + QUANTILE * error
    chosen = gain > math.log1p(REGRET)
    chosen[place] = False
    return tuple(landscape.cells[index] for index in found.places[chosen])


def _floor(landscape: Landscape) -> float:
    return floor_of(landscape, untrained=None)
