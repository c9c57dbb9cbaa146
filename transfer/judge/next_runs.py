"""The cells that need one seed more, or a first one, before a verdict is decided."""

import math

import numpy as np

from results.landscape import Cell, Landscape, optimum
from results.vocabulary import AddedFor, OutcomeLabel
from transfer.judge.comparison import compare
from transfer.judge.verdict import CONFIDENCE
from transfer.space import SIDES, Space

MOST_SEEDS = 12
"""Seeds of a cell beyond which a verdict stays undecided."""
EXPECTED_SEEDS = 2.6
"""The mean seeds of a cell at a target in benchmarks/coverage.py: 23.6 runs of nine cells."""
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
) -> dict[Cell, AddedFor]:
    """Return the cells at the target of which one seed more would help to decide, and why.

    They are the transferred cell and those that compete with it; the others cannot change the
    verdict. Start with two seeds of every cell, run one more of each cell that this returns, and
    repeat until it returns none: the verdict is decided, or a cell has `most` seeds.

    Args:
        tuned: the runs of the search, with at least two seeds.
        target: the runs at the target so far, at least two of every cell; a run that does not exist
            has the status `NOT_RUN`.
        cell: the transferred cell.
        tolerance: the largest relative excess of its loss at which the optimum has held.
        untrained: the loss before training, if it is known.
        most: seeds of the transferred cell at which to give up.
    """
    place = target.place(cell)
    tried = int(target.tried[place])
    trained = int((target.statuses[place] == OutcomeLabel.TRAINED).sum())
    if tried >= most or optimum(tuned) is None or 2 * trained < tried:
        return {}
    own = {cell: AddedFor.TRANSFERRED}
    rivals = target.complete
    rivals[place] = False
    if not trained or not rivals.any():  # only its own seeds tell whether it trains
        return {} if target.complete[place] or not trained else own
    found = compare(tuned, target, cell, untrained)
    limit = math.log1p(tolerance)
    held = found.held(limit)
    if held <= 1 - CONFIDENCE:
        return {}
    if not target.complete[place]:
        return own
    if held >= CONFIDENCE:
        return {}
    draws = found.at_cells
    best = np.bincount(draws.argmin(axis=1), minlength=draws.shape[1]) / len(draws)
    better = (draws < draws[:, [found.cell]] - limit).mean(axis=0)
    return own | {
        target.cells[index]: AddedFor.BEST if best[column] > BEST else AddedFor.BETTER
        for column, index in enumerate(found.target.places)
        if (best[column] > BEST or better[column] > BETTER) and column != found.cell
    }


def cells_beyond(
    tuned: Landscape,
    target: Landscape,
    cell: Cell,
    space: Space,
    reach: int,
    *,
    law: bool,
    untrained: float | None = None,
) -> tuple[Cell, ...]:
    """Return the neighbours of a transferred cell beyond the space that are worth running.

    Those of a side beyond which the model gives a better cell than all that ran more than 5 %; if
    drift enters a law, also those of sides on which the optimum's region is open.

    Args:
        tuned: the runs of the search.
        target: the runs at the target so far.
        cell: the transferred cell.
        space: the space that was searched.
        reach: places around the transferred cell.
        law: whether a law of the rates is asked for.
        untrained: the loss before training, if it is known.
    """
    sides = {
        (rate, side): fresh
        for rate in space.searched
        for side in SIDES
        if (fresh := [c for c in space.beyond(cell, reach, rate, side) if c not in target.cells])
    }
    if not sides or not np.isfinite(target.losses[target.place(cell)]).any():
        return ()
    found = compare(tuned, target, cell, untrained)
    worth: list[Cell] = []
    for (rate, side), cells in sides.items():
        open_side = rate in found.rates and found.open_side(rate, side)
        points = np.log2([[each[name] for name in found.rates] for each in cells])
        if (law and open_side) or found.better_at(points) > BEST:
            worth += cells
    return tuple(dict.fromkeys(worth))
