"""What the runs at a target and at the tuned shape say about a transferred cell.

The regret of the transferred cell is its log loss less that of the best cell that ran and trained.
In every draw of the surfaces the best cell is found anew, so that the luck of the one that looks
best is part of the interval.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from results.landscape import Cell, Landscape, optimum
from transfer.judge.estimate import Estimate, exponential, summarise
from transfer.judge.observations import Observations, floor_of, searched_rates
from transfer.judge.region import Optima, Region
from transfer.judge.surface import Posterior
from transfer.space import Side

REACH, DEPTH = 4.0, 1.5
"""Cells of the tuned shape count up to this distance from its optimum, in octaves, and up to this
excess of the log loss: what lies beyond bends a stationary kernel and says nothing here."""
MOST = 48
"""The most cells of a shape that count: those with the lowest loss. It bounds time and memory."""
REGRET_TAILS = (0.005, 0.034)
"""The probabilities below and above the interval of a regret, together less than 5%. Smooth draws
never have two cells that are equally good, and real losses do: of several equal cells all but one
seem to have a regret. So the lower bound is further out than that of a central interval."""


@dataclass(frozen=True)
class Comparison:
    """The transferred cell compared with the others at the target.

    Attributes:
        rates: the searched rates, in the order of columns.
        cell: the index of the transferred cell among the cells of `target`.
        target: the cells of the target that count.
        posterior: of the surfaces of both shapes.
        regions: the points of the tuned shape and of the target between which optima are sought.
    """

    rates: tuple[str, ...]
    cell: int
    target: Observations
    posterior: Posterior
    regions: tuple[Region, Region]

    @cached_property
    def at_cells(self) -> Float[ndarray, "R m"]:
        """Draws of the log losses of the target's cells."""
        return self.posterior.draw()

    @cached_property
    def regrets(self) -> Float[ndarray, " R"]:
        """Draws of the regret against the best cell that ran."""
        return self.at_cells[:, self.cell] - self.at_cells.min(axis=1)

    @property
    def regret(self) -> Estimate:
        """The regret against the best cell that ran, which is what a verdict judges."""
        return summarise(self.regrets, tails=REGRET_TAILS)

    @property
    def achievable(self) -> Estimate:
        """The regret against the best rates of the region, between the cells too."""
        least = np.minimum(self._optima[1].losses, self.at_cells.min(axis=1))
        return summarise(self.at_cells[:, self.cell] - least, tails=REGRET_TAILS)

    @property
    def noise(self) -> float:
        """The standard deviation over seeds of a log loss at the transferred cell."""
        variance = self.posterior.variances[len(self.posterior.tuned.places) + self.cell]
        return math.sqrt(variance * self.target.counts[self.cell])

    def held(self, limit: float) -> float:
        """Return the probability that the regret is at most `limit`."""
        return float((self.regrets <= limit).mean())

    def better_at(self, points: Float[ndarray, "n D"]) -> float:
        """Return the probability that a point, log2 of rates, is better than all cells that ran."""
        draws = self.posterior.draw(target=points)
        ran = self.at_cells.shape[1]
        return float((draws[:, ran:].min(axis=1) < draws[:, :ran].min(axis=1)).mean())

    def open_side(self, rate: str, side: Side) -> bool:
        """Return whether the optimum at the target may lie beyond the cells that ran on a side."""
        found, axis = self._optima[1], self.rates.index(rate)
        return found.below[axis] if side == "lowest" else found.above[axis]

    @property
    def optimum(self) -> dict[str, Estimate]:
        """The best rates at the target, each with its region."""
        found = self._optima[1]
        return {rate: exponential(found.estimate(axis)) for axis, rate in enumerate(self.rates)}

    @property
    def tuned_optimum(self) -> dict[str, Estimate]:
        """The best rates at the tuned shape, each with its region; empty if nothing trained."""
        if not self.regions[0].inside.any():
            return {}
        found = self._optima[0]
        return {rate: exponential(found.estimate(axis)) for axis, rate in enumerate(self.rates)}

    @property
    def drift(self) -> dict[str, Estimate]:
        """The distance of the optimum at the target from the tuned one by rate, in octaves."""
        tuned, target = self._optima
        return {
            rate: summarise(
                target.places[:, axis] - tuned.places[:, axis],
                below=target.below[axis] or tuned.above[axis],
                above=target.above[axis] or tuned.below[axis],
            )
            for axis, rate in enumerate(self.rates)
            if self.regions[0].steps[axis] > 0
        }

    @cached_property
    def _optima(self) -> tuple[Optima, Optima]:
        tuned, target = self.regions
        draws = self.posterior.draw(tuned.points, target.points)[:, len(self.target.places) :]
        count = len(tuned.points)
        return tuned.optima(draws[:, :count]), target.optima(draws[:, count:])


def compare(
    tuned: Landscape, target: Landscape, cell: Cell, untrained: float | None = None
) -> Comparison:
    """Compare a transferred cell with the other cells at the target.

    Args:
        tuned: the runs of the search; nothing needs to have trained.
        target: the runs at the target; at least one run of `cell` trained.
        cell: the transferred cell.
        untrained: the loss before training, if it is known.
    """
    rates = searched_rates(target) or searched_rates(tuned)
    floor = floor_of(tuned, target, untrained=untrained)
    place = target.place(cell)
    there = Observations.of(target, rates, keep=place, floor=floor)
    there = there.only(_lowest(there.means) | (there.places == place))
    here, around = near_optimum(tuned, rates, floor)
    regions = around, Region.of(target, there, rates)
    index = int(np.flatnonzero(there.places == place)[0])
    return Comparison(rates, index, there, Posterior.of(here, there), regions)


def near_optimum(
    landscape: Landscape, rates: tuple[str, ...], floor: float
) -> tuple[Observations, Region]:
    """Return the cells near the optimum of a landscape, none without one, and their region.

    The noise is that of all cells.
    """
    found = Observations.of(landscape, rates, floor=floor)
    best = optimum(landscape)
    if best is None or not len(found.means):
        nothing = found.only(np.zeros(len(found.means), bool))
        return nothing, Region.of(landscape, nothing, rates)
    centre = np.log2([best[rate] for rate in rates])
    near = (np.abs(found.points - centre) <= REACH).all(axis=1)
    near &= found.means <= found.means[near].min(initial=math.inf) + DEPTH
    kept = found.only(near & _lowest(np.where(near, found.means, math.inf)))
    return kept, Region.of(landscape, kept, rates, (centre - REACH, centre + REACH))


def _lowest(means: Float[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Return which cells are the `MOST` with the lowest means."""
    found = np.zeros(len(means), bool)
    found[np.argsort(means, kind="stable")[:MOST]] = True
    return found
