"""The optimum of one shape, resolved between the cells of the grid: pure functions.

Along each rate, a parabola is drawn through the logarithms of the mean losses of the best cell and
its two neighbours, over the logarithm of the rate. Its lowest point is the optimum. As the loss in
the middle is the lowest, that point is at most half-way to a neighbour: nothing is extrapolated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from results.landscape import TINY, Cell, Landscape, optimum, rank
from transfer.judge.bootstrap import Estimate, estimate, resample
from transfer.space import Grid, Side, Space


@dataclass(frozen=True)
class RefinedOptimum:
    """The optimum of one shape, between the cells of the grid.

    Attributes:
        cell: the best cell of the grid.
        log_rates: natural logarithm of the optimal rate, for each rate with several values: first
            for the seeds as they are, then for R resamples of them (1 + R,); NaN in resamples
            without a trained cell.
        edges: the rates in which `cell` lies on the edge of the grid, and on which side. There is
            no estimate then, as a better cell may lie beyond.
        coarse: the rates without a parabola, because a neighbour did not train, failed or was not
            run. The optimum is `cell`, and in resamples a random point up to half-way to its
            neighbours, which is all that the runs determine.
    """

    cell: Cell
    log_rates: Mapping[str, ndarray]
    edges: Mapping[str, Side]
    coarse: tuple[str, ...]

    def rate(self, name: str) -> Estimate:
        """Return the optimal rate with its interval."""
        rates = np.exp(self.log_rates[name])
        return estimate(rates[0], rates[1:])


def refine(
    landscape: Landscape, space: Space, generator: np.random.Generator
) -> RefinedOptimum | None:
    """Return the optimum of a landscape over a space of lists; None if no cell trained."""
    best = optimum(landscape)
    if best is None:
        return None
    landscape = landscape.without_failures()
    as_they_are = np.ones((1, landscape.seeds), int)
    ranking = rank(landscape, np.vstack([as_they_are, resample(generator, landscape.seeds)]))
    trained = ranking.of_best(ranking.trained) > 0
    log_loss = np.log(np.maximum(ranking.loss, TINY))
    log_rates, coarse = {}, []
    for name, rates in space.searched.items():
        if not isinstance(rates, Grid) or len(rates.values) == 1:
            continue
        x = np.log([getattr(cell, name) for cell in landscape.cells])
        below, above = (_neighbours(landscape.cells, name, rates, side) for side in (-1, 1))
        lower, upper = below[ranking.best], above[ranking.best]
        fits = (lower >= 0) & (upper >= 0) & ranking.complete[lower] & ranking.complete[upper]
        lowest = np.where(
            fits,
            _lowest(x, log_loss, lower, ranking.best, upper),
            _within(rates, x[ranking.best], generator),
        )
        log_rates[name] = np.where(trained, lowest, np.nan)
        if not fits[0]:
            log_rates[name][0] = x[ranking.best[0]]
            coarse.append(name)
    return RefinedOptimum(best, log_rates, space.edges(best), tuple(coarse))


def _neighbours(cells: tuple[Cell, ...], name: str, rates: Grid, side: int) -> ndarray:
    """Return the index of every cell's neighbour along a rate, -1 if there is none (C,)."""
    places = {cell: place for place, cell in enumerate(cells)}

    def find(cell: Cell) -> int:
        place = rates.values.index(getattr(cell, name)) + side
        if not 0 <= place < len(rates.values):
            return -1
        return places.get(replace(cell, **{name: rates.values[place]}), -1)

    return np.array([find(cell) for cell in cells])


def _lowest(x: ndarray, y: ndarray, lower: ndarray, best: ndarray, upper: ndarray) -> ndarray:
    """Return the lowest point of the parabola through three cells in each resample (R,).

    Args:
        x: logarithm of the rate of every cell (C,).
        y: logarithm of the mean loss (R, C).
        lower, best, upper: indices of the three cells (R,); y is lowest at `best`.
    """
    rows = np.arange(len(best))
    left, right = x[best] - x[lower], x[upper] - x[best]
    with np.errstate(divide="ignore", invalid="ignore"):  # cells without neighbours
        down = (y[rows, lower] - y[rows, best]) / left
        up = (y[rows, upper] - y[rows, best]) / right
        shift = (down * right - up * left) / (2 * (down + up))
    return np.where(down + up > 0, x[best] + shift, x[best])


def _within(rates: Grid, x: ndarray, generator: np.random.Generator) -> ndarray:
    """Return a random point up to half-way from each log rate x (R,) to its neighbours."""
    grid = np.log(rates.values)
    ends = [2 * grid[0] - grid[1], *grid, 2 * grid[-1] - grid[-2]]  # beyond an edge as before it
    halves = np.diff(ends) / 2
    place = np.abs(x[:, None] - grid).argmin(axis=1)
    return generator.uniform(x - halves[place], x + halves[place + 1])
