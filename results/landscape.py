"""Losses over cells and seeds at one shape, and the best cell: pure functions.

A loss exists only where a run trained. Diverged, chance-level and failed runs are counted and never
averaged in: a cell ranks first by how many of its seeds trained, and only then by their mean loss.
The judge, the search and the report all rank cells with these functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from results.vocabulary import OutcomeLabel

TINY = 1e-38  # a loss of exactly 0 has a logarithm too
NOT_RUN = ""
"""The status of a run that does not exist."""


@dataclass(frozen=True, order=True)
class Cell:
    """A point of the search space: one pair of learning rates.

    Attributes:
        weight_lr: eta, the learning rate of the weight optimiser.
        activity_lr: beta, the step size of inference; None for rules that infer no activities.
    """

    weight_lr: float
    activity_lr: float | None

    def __str__(self) -> str:
        beta = "" if self.activity_lr is None else f", beta {self.activity_lr:.4g}"
        return f"eta {self.weight_lr:.4g}{beta}"


@dataclass(frozen=True)
class Landscape:
    """The runs of C cells with S seeds each at one shape.

    Attributes:
        cells: the cells.
        statuses: how each run ended, values of `OutcomeLabel` or `NOT_RUN` (C, S).
        losses: final training loss (C, S); NaN unless trained.
        minima: smallest single-batch training loss, the thesis's metric (C, S); NaN if none.
        accuracies: test accuracy (C, S); NaN if none.
        learned: layers that learned (C, S); NaN if not recorded.
        layers: L, weight matrices of the network; None if not recorded.
    """

    cells: tuple[Cell, ...]
    statuses: ndarray
    losses: Float[ndarray, "C S"]
    minima: Float[ndarray, "C S"]
    accuracies: Float[ndarray, "C S"]
    learned: Float[ndarray, "C S"]
    layers: int | None = None

    @classmethod
    def of(cls, cells: Sequence[Cell], rows: Sequence[Sequence[Mapping[str, Any]]]) -> "Landscape":
        """Return the landscape of rows of the `runs` table: `rows[c][s]` is cell c, seed s.

        A number that a row lacks counts as null.
        """
        statuses = np.array([[str(row["outcome"]) for row in seeds] for seeds in rows], str)
        statuses = statuses.reshape(len(rows), -1 if rows else 0)
        losses = _column(rows, "final_train_loss")
        layers = mean(_column(rows, "layers"))  # the same in every run of a shape
        return cls(
            tuple(cells),
            *settled(statuses, losses),
            _column(rows, "min_train_loss"),
            _column(rows, "test_accuracy"),
            _column(rows, "layers_learned"),
            None if layers is None else round(layers),
        )

    @property
    def seeds(self) -> int:
        """S, the number of seeds."""
        return self.losses.shape[1]

    def count(self, *outcomes: str) -> int:
        """Return how many runs ended in one of `outcomes`."""
        return int(np.isin(self.statuses, [str(outcome) for outcome in outcomes]).sum())

    def place(self, cell: Cell) -> int:
        """Return the index of `cell`."""
        return self.cells.index(cell)

    def without_failures(self, keep: Cell | None = None) -> "Landscape":
        """Return the landscape without cells that have a failed run, except for `keep`.

        A failure of the machine is no evidence for or against a cell.
        """
        kept = [
            place
            for place, cell in enumerate(self.cells)
            if cell == keep or OutcomeLabel.FAILED not in self.statuses[place]
        ]
        arrays = ("statuses", "losses", "minima", "accuracies", "learned")
        return replace(
            self,
            cells=tuple(self.cells[place] for place in kept),
            **{name: getattr(self, name)[kept] for name in arrays},
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
        """Return the entry of `values` (R, C) at the best cell of each resample (R,)."""
        return np.take_along_axis(values, self.best[:, None], axis=1)[:, 0]


def settled(statuses: ndarray, losses: ndarray) -> tuple[ndarray, ndarray]:
    """Return statuses and losses with a loss where, and only where, a run trained.

    A run recorded as trained without a finite loss counts as diverged, so that it cannot win.
    """
    trained = statuses == OutcomeLabel.TRAINED
    unusable = trained & ~np.isfinite(losses)
    return (
        np.where(unusable, OutcomeLabel.DIVERGED.value, statuses),
        np.where(trained & ~unusable, losses, np.nan),
    )


def rank(landscape: Landscape, weights: Int[ndarray, "R S"] | None = None) -> Ranking:
    """Rank the cells: the best has the lowest mean loss among those with the most trained seeds.

    Of cells with equal losses the one with the lower rates is the best, whatever their order.

    Args:
        landscape: the cells; at least one.
        weights: how often each resample holds each seed; by default one resample, each seed once.
    """
    if weights is None:
        weights = np.ones((1, landscape.seeds), int)
    exists = ~np.isnan(landscape.losses)
    trained = weights @ exists.T
    total = weights @ np.where(exists, landscape.losses, 0.0).T
    loss = np.divide(total, trained, out=np.full(total.shape, np.nan), where=trained > 0)
    # Not per resample: a resample without the seed that diverged would hide that it did.
    complete = exists.sum(axis=1) == exists.sum(axis=1).max()
    order = np.array(sorted(range(len(landscape.cells)), key=lambda c: _rates(landscape.cells[c])))
    score = np.where(complete & (trained > 0), loss, np.inf)
    best = order[score[:, order].argmin(axis=1)]
    return Ranking(trained, loss, best, complete)


def optimum(landscape: Landscape) -> Cell | None:
    """Return the best cell: the lowest final training loss, averaged over seeds.

    A cell with a failed run does not count. Return None when no cell trained with more than half of
    its seeds.
    """
    complete = landscape.without_failures()
    if not complete.cells:
        return None
    ranking = rank(complete)
    best = int(ranking.best[0])
    return complete.cells[best] if mostly_trained(complete, best) else None


def mostly_trained(landscape: Landscape, place: int) -> bool:
    """Return whether more than half of the runs of the cell at `place` trained."""
    statuses = landscape.statuses[place]
    trained = int((statuses == OutcomeLabel.TRAINED).sum())
    return 2 * trained > int((statuses != NOT_RUN).sum())


def mean(values: ndarray) -> float | None:
    """Return the mean of the numbers that are not NaN; None if there are none."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if numbers.size else None


def _rates(cell: Cell) -> tuple[float, float]:
    return cell.weight_lr, -np.inf if cell.activity_lr is None else cell.activity_lr


def _column(rows: Sequence[Sequence[Mapping[str, Any]]], name: str) -> ndarray:
    def read(value: Any) -> float:
        return np.nan if value is None else float(value)

    values = np.array([[read(row.get(name)) for row in seeds] for seeds in rows])
    return values.reshape(len(rows), -1 if rows else 0)
