"""The cells that need one seed more before a verdict is decided."""

import math

import numpy as np

from results.landscape import Cell, Landscape, optimum
from transfer.judge.comparison import compare
from transfer.judge.verdict import CONFIDENCE, FEWEST_SEEDS

MOST_SEEDS = 12
"""Seeds of a cell beyond which a verdict stays undecided."""
BEST, BETTER = 0.05, 0.025
"""A cell competes if it is the best with the first probability, or better than the transferred cell
by more than the tolerance with the second."""


def next_runs(
    tuned: Landscape,
    target: Landscape,
    cell: Cell,
    tolerance: float,
    untrained: float | None = None,
    most: int = MOST_SEEDS,
) -> tuple[Cell, ...]:
    """Return the cells at the target of which one seed more would help to decide the verdict.

    They are the transferred cell and those that compete with it; the others cannot change the
    verdict. Start with two seeds of every cell, run one more of each cell that this returns, and
    repeat until it returns none: the verdict is decided, or a cell has `most` seeds.

    Args:
        tuned: the runs of the search, with at least two seeds.
        target: the runs at the target so far; a run that does not exist has the status `NOT_RUN`.
        cell: the transferred cell.
        tolerance: the largest relative excess of its loss at which the optimum has held.
        untrained: the loss before training, if it is known.
        most: seeds of the transferred cell at which to give up.
    """
    place = target.place(cell)
    if target.tried[place] >= most or optimum(tuned) is None:
        return ()
    short = target.tried < FEWEST_SEEDS
    if short.any():
        return tuple(other for other, few in zip(target.cells, short, strict=True) if few)
    if not target.complete[place]:  # only its own seeds tell whether it trains
        return (cell,)
    rivals = target.complete
    rivals[place] = False
    if not rivals.any():
        return ()
    found = compare(tuned, target, cell, untrained)
    limit = math.log1p(tolerance)
    held = found.held(limit)
    if held >= CONFIDENCE or held <= 1 - CONFIDENCE:
        return ()
    draws = found.at_cells
    best = np.bincount(draws.argmin(axis=1), minlength=draws.shape[1]) / len(draws)
    better = (draws < draws[:, [found.cell]] - limit).mean(axis=0)
    competes = (best > BEST) | (better > BETTER)
    competes[found.cell] = True
    return tuple(target.cells[index] for index in found.target.places[competes])
