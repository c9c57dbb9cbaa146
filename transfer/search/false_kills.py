"""What pruners would have stopped in searches that ran in full."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from results.early_losses import REGRET, EarlyLosses
from transfer.search.pruning import BATCH, PRUNERS, Curve, Pruner
from transfer.space import Grid, Space


@dataclass(frozen=True)
class PrunerReplay:
    """What a pruner would have done to a landscape that ran in full, once with each seed alone.

    A pruned search starts with one seed of every cell, so that each seed makes a search. After the
    last rung it finishes the neighbours of the best cell, again around a better one that it finds
    so, and thereby recovers stopped cells. The seeds that it adds to cells are not replayed.

    Attributes:
        rungs: weight updates after which the pruner decides.
        good: cells that end within the regret of the best, counted in every search.
        stopped: how many of these are stopped at a rung.
        searches: number of searches, one for each seed with a good cell.
        missed: searches that end without a good cell among those that they finished.
        updates: weight updates of all searches, over those of all cells in full.
    """

    rungs: tuple[int, ...]
    good: int
    stopped: int
    searches: int
    missed: int
    updates: float

    @property
    def false_kill_rate(self) -> float | None:
        """The share of good cells that are stopped at a rung; None if there are none."""
        return self.stopped / self.good if self.good else None


def replay(early: EarlyLosses, pruner: Pruner, regret: float = REGRET) -> PrunerReplay | None:
    """Replay a pruner on a landscape; None where it has no rung before the last update.

    Args:
        early: the losses during training.
        pruner: the pruner; cells come in the order of `early.cells`.
        regret: relative excess of the loss over the best up to which a cell is good.
    """
    steps, good = int(early.updates[-1]), early.good(regret)
    rungs = pruner.rungs(steps, int(early.updates[0]))
    if not rungs:
        return None
    wanted = stopped = searches = missed = done = whole = 0
    for seed in range(early.seeds):
        ran = [cell for cell in range(len(early.cells)) if not np.isnan(early.losses[cell, seed])]
        pruned, ends = _rungs(early, pruner, rungs, seed, ran)
        finished = _neighbours_finished(early, seed, ran, set(ran) - set(pruned))
        ends |= {cell: _last(early, cell, seed) for cell in finished}
        mine = [cell for cell in ran if good[cell]]
        wanted, stopped = wanted + len(mine), stopped + len(set(mine) & set(pruned))
        searches, missed = searches + bool(mine), missed + (bool(mine) and not finished & set(mine))
        done, whole = done + sum(ends.values()), whole + sum(_last(early, c, seed) for c in ran)
    return PrunerReplay(rungs, wanted, stopped, searches, missed, done / whole)


def replay_pruners(
    early: EarlyLosses, pruners: Mapping[str, Pruner] | None = None, regret: float = REGRET
) -> dict[str, PrunerReplay]:
    """Replay pruners by name; those without rungs are left out.

    Args:
        early: the losses during training.
        pruners: the pruners by name; by default every registered one with its defaults.
        regret: relative excess of the loss over the best up to which a cell is good.
    """
    pruners = {name: PRUNERS[name]() for name in PRUNERS} if pruners is None else pruners
    found = {name: replay(early, pruner, regret) for name, pruner in pruners.items()}
    return {name: each for name, each in found.items() if each is not None}


def _rungs(
    early: EarlyLosses, pruner: Pruner, rungs: tuple[int, ...], seed: int, cells: list[int]
) -> tuple[list[int], dict[int, int]]:
    """Return the cells that are stopped, and the updates of every cell: as `PrunedSearch` does."""
    steps = int(early.updates[-1])
    race = pruner.race(steps, int(early.updates[0]))
    size = len(cells) if pruner.at_once else BATCH
    stopped: list[int] = []
    ends = {cell: _last(early, cell, seed) for cell in cells}
    for start in range(0, len(cells), size or 1):
        running = cells[start : start + size]
        for rung in rungs:
            running = [cell for cell in running if _alive(early, cell, seed, rung)]
            curves = {cell: _curve(early, cell, seed, rung) for cell in running}
            kept = race.survivors(rung, curves, running) if running else set()
            ends |= {cell: rung for cell in running if cell not in kept}
            stopped += [cell for cell in running if cell not in kept]
            running = [cell for cell in running if cell in kept]
        for cell in running:
            loss = float(early.losses[cell, seed])
            curve = _curve(early, cell, seed, steps)
            race.finished(cell, curve, loss if math.isfinite(loss) else None)
    return stopped, ends


def _neighbours_finished(
    early: EarlyLosses, seed: int, cells: list[int], finished: set[int]
) -> set[int]:
    """Return the finished cells once those around the best of them are finished too."""
    places = {early.cells[cell]: cell for cell in cells}
    values = {
        name: Grid(tuple(sorted({cell[name] for cell in places if name in cell})))
        for name in next(iter(places), {})
    }
    space = Space(**values)
    while True:
        able = [cell for cell in finished if math.isfinite(early.losses[cell, seed])]
        if not able:
            return finished
        best = early.cells[min(able, key=lambda cell: (early.losses[cell, seed], cell))]
        near = {places[cell] for cell in space.near(best, 1) if cell in places}
        if near <= finished:
            return finished
        finished = finished | near


def _alive(early: EarlyLosses, cell: int, seed: int, step: int) -> bool:
    """Return whether a run has not diverged before an update."""
    return bool(np.isfinite(early.early[cell, seed][early.updates <= step]).all())


def _curve(early: EarlyLosses, cell: int, seed: int, until: int) -> Curve:
    """Return the losses of a run up to an update."""
    losses = early.early[cell, seed]
    pairs = zip(early.updates.tolist(), losses.tolist(), strict=True)
    return [(step, loss) for step, loss in pairs if step <= until and math.isfinite(loss)]


def _last(early: EarlyLosses, cell: int, seed: int) -> int:
    """Return the last update of a run: that of the evaluation before which it diverged, or all."""
    diverged = early.updates[np.isinf(early.early[cell, seed])]
    return int(diverged[0] if len(diverged) else early.updates[-1])
