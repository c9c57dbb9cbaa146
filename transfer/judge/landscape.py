"""Losses over cells and seeds at one shape, and what can be read off them: pure functions.

A loss exists only where a run trained. Diverged, chance-level and failed runs are counted, never
averaged in: a cell ranks first by how many of its seeds trained, and only then by their mean loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from pccore import Status
from transfer.engine.runs import Cell

TINY = 1e-38  # a loss of exactly 0 has a logarithm too


@dataclass(frozen=True)
class Landscape:
    """The finished runs of C cells with S seeds each at one shape.

    Attributes:
        cells: the cells.
        statuses: how each run ended, values of `pccore.Status` (C, S).
        losses: final training loss (C, S); NaN unless trained.
        minima: smallest single-batch training loss, the thesis's metric (C, S); NaN if none.
        accuracies: test accuracy (C, S); NaN if none.
    """

    cells: tuple[Cell, ...]
    statuses: ndarray
    losses: Float[ndarray, "C S"]
    minima: Float[ndarray, "C S"]
    accuracies: Float[ndarray, "C S"]

    @classmethod
    def of(cls, cells: Sequence[Cell], rows: Sequence[Sequence[Mapping[str, Any]]]) -> "Landscape":
        """From rows of the `runs` table: `rows[c][s]` is cell c with seed s."""
        statuses = np.array([[str(row["outcome"]) for row in seeds] for seeds in rows], str)
        statuses = statuses.reshape(len(rows), -1 if rows else 0)
        losses = _column(rows, "final_train_loss")
        # A trained run has a loss: anything else is a fault upstream that must not win.
        statuses[(statuses == Status.TRAINED) & ~np.isfinite(losses)] = Status.DIVERGED.value
        losses[statuses != Status.TRAINED] = np.nan
        return cls(
            tuple(cells),
            statuses,
            losses,
            _column(rows, "min_train_loss"),
            _column(rows, "test_accuracy"),
        )

    @property
    def seeds(self) -> int:
        """S."""
        return self.losses.shape[1]

    def count(self, *statuses: Status) -> int:
        """How many runs ended in one of `statuses`."""
        return int(np.isin(self.statuses, [str(status) for status in statuses]).sum())

    def place(self, cell: Cell) -> int:
        """The index of `cell`."""
        return self.cells.index(cell)

    def without_failures(self, keep: Cell | None = None) -> "Landscape":
        """Only the cells of which no run failed, which is no evidence either way; and `keep`."""
        kept = [
            place
            for place, cell in enumerate(self.cells)
            if cell == keep or Status.FAILED not in self.statuses[place]
        ]
        return Landscape(
            tuple(self.cells[place] for place in kept),
            *(array[kept] for array in (self.statuses, self.losses, self.minima, self.accuracies)),
        )


@dataclass(frozen=True)
class Ranking:
    """Cells compared in R resamples of their seeds.

    Attributes:
        trained: trained seeds per cell (R, C).
        loss: their mean loss (R, C); NaN where none trained.
        best: index of the best cell (R,).
        complete: the cells with the most trained seeds, which can be the best (C,).
    """

    trained: Int[ndarray, "R C"]
    loss: Float[ndarray, "R C"]
    best: Int[ndarray, " R"]
    complete: Bool[ndarray, " C"]

    def of_best(self, values: ndarray) -> ndarray:
        """The entry of `values` (R, C) that belongs to the best cell, per resample (R,)."""
        return np.take_along_axis(values, self.best[:, None], axis=1)[:, 0]


def rank(landscape: Landscape, weights: Int[ndarray, "R S"] | None = None) -> Ranking:
    """Compare the cells, of which those with the most trained seeds can be the best.

    Args:
        landscape: the cells.
        weights: how often each resample holds each seed; by default one that holds each once.
    """
    if weights is None:
        weights = np.ones((1, landscape.seeds), int)
    exists = ~np.isnan(landscape.losses)
    trained = weights @ exists.T
    total = weights @ np.where(exists, landscape.losses, 0.0).T
    loss = np.divide(total, trained, out=np.full(total.shape, np.nan), where=trained > 0)
    # Not per resample: one that misses the seed with which a cell diverged must not acquit it.
    complete = exists.sum(axis=1) == exists.sum(axis=1).max()
    best = np.where(complete & (trained > 0), loss, np.inf).argmin(axis=1)
    return Ranking(trained, loss, best, complete)


def optimum(landscape: Landscape) -> Cell | None:
    """The cell with the lowest final training loss, averaged over seeds.

    None when no cell trained with more than half of its seeds.
    """
    complete = landscape.without_failures()
    if not complete.cells:
        return None
    ranking = rank(complete)
    best = int(ranking.best[0])
    return complete.cells[best] if mostly_trained(complete, best) else None


def mostly_trained(landscape: Landscape, place: int) -> bool:
    """Whether more than half of the seeds of the cell at `place` trained."""
    return 2 * int((landscape.statuses[place] == Status.TRAINED).sum()) > landscape.seeds


def mean(values: ndarray) -> float | None:
    """The mean of the numbers that exist; None if there are none."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if numbers.size else None


def _column(rows: Sequence[Sequence[Mapping[str, Any]]], name: str) -> ndarray:
    def read(value: Any) -> float:
        return np.nan if value is None else float(value)

    values = np.array([[read(row[name]) for row in seeds] for seeds in rows])
    return values.reshape(len(rows), -1 if rows else 0)
