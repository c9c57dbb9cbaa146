"""Losses over cells and seeds at one shape, and the best cell: pure functions.

A loss exists only where a run trained. Diverged, chance-level and failed runs are counted and never
averaged in: a cell ranks first by the share of its seeds that trained, and only then by their mean
loss. The judge, the search and the report all rank cells with these functions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from results.row import Row
from results.vocabulary import OutcomeLabel, rate_name

TINY = 1e-38  # a loss of exactly 0 has a logarithm too
NOT_RUN = ""
"""The status of a run that does not exist."""
UNFINISHED = (NOT_RUN, OutcomeLabel.PRUNED.value)
"""The statuses of runs that were not trained to their end."""


class Cell(Mapping[str, float]):
    """A point of the search space: the searched values by the name of their rate.

        Cell(0.1, 10.0)                              # eta and beta of predictive coding
        Cell(learning_rate=0.01, weight_decay=0.1)   # any rates

    Cells are immutable, and equal if they have the same names with the same values.

    Args:
        weight_lr: eta, the learning rate of the weight optimiser.
        activity_lr: beta, the step size of inference.
        **rates: any rates, in the order in which they are shown. One that is None does not exist.
    """

    __slots__ = ("_rates",)

    def __init__(
        self,
        weight_lr: float | None = None,
        activity_lr: float | None = None,
        /,
        **rates: float | None,
    ) -> None:
        first = {"weight_lr": weight_lr, "activity_lr": activity_lr}
        pairs = (*first.items(), *rates.items())
        self._rates = {name: value for name, value in pairs if value is not None}

    def __getitem__(self, name: str) -> float:
        return self._rates[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rates)

    def __len__(self) -> int:
        return len(self._rates)

    def __hash__(self) -> int:
        return hash(frozenset(self._rates.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self._rates == other._rates

    def __reduce__(self) -> tuple[object, ...]:
        return _cell_of, (self._rates,)

    @property
    def weight_lr(self) -> float:
        """Eta; raises `KeyError` where there is none."""
        return self._rates["weight_lr"]

    @property
    def activity_lr(self) -> float | None:
        """Beta; None for rules that infer no activities."""
        return self._rates.get("activity_lr")

    def but(self, rates: Mapping[str, float]) -> "Cell":
        """Return this cell with other values of some rates."""
        return Cell(**{**self._rates, **rates})

    def __str__(self) -> str:
        return ", ".join(f"{rate_name(name)} {value:.4g}" for name, value in self.items())

    def __repr__(self) -> str:
        return f"Cell({', '.join(f'{name}={value!r}' for name, value in self.items())})"


def _cell_of(rates: Mapping[str, float]) -> Cell:
    return Cell(**rates)


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
    def of(cls, cells: Sequence[Cell], rows: Sequence[Sequence[Row]]) -> "Landscape":
        """Return the landscape of rows of the `runs` table: `rows[c][s]` is cell c, seed s.

        A number that a row lacks counts as null. Cells may have different numbers of seeds.
        """
        most = max(map(len, rows), default=0)
        rows = [[*seeds, *({"outcome": NOT_RUN},) * (most - len(seeds))] for seeds in rows]
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

    @classmethod
    def of_losses(
        cls, cells: Sequence[Cell], losses: ndarray, statuses: ndarray | None = None
    ) -> "Landscape":
        """Return the landscape of plain arrays.

        Args:
            cells: the cells.
            losses: final training loss of cell c and seed s (C, S).
            statuses: how each run ended, values of `OutcomeLabel` or `NOT_RUN` (C, S); by default
                a run trained where its loss is finite, and diverged elsewhere.
        """
        losses = np.asarray(losses, float)
        if statuses is None:
            statuses = np.where(np.isfinite(losses), OutcomeLabel.TRAINED, OutcomeLabel.DIVERGED)
        nothing = np.full(losses.shape, np.nan)
        return cls(
            tuple(cells),
            *settled(np.asarray(statuses, str), losses),
            nothing,
            nothing,
            nothing,
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

    @property
    def settled(self) -> Bool[ndarray, "C S"]:
        """The runs that ended by what the network did: those that exist and did not fail.

        A failed run is missing: a failure of the machine is no evidence for or against a cell. So
        is a pruned one, as it is not known how it would have ended.
        """
        found: ndarray = ~np.isin(self.statuses, [*UNFINISHED, OutcomeLabel.FAILED.value])
        return found

    @property
    def pruned(self) -> Bool[ndarray, " C"]:
        """The cells that the search stopped early, as others were better: no run is finished."""
        found: ndarray = (self.statuses == OutcomeLabel.PRUNED).any(axis=1) & (self.tried == 0)
        return found

    @property
    def tried(self) -> Int[ndarray, " C"]:
        """How many runs of each cell are settled."""
        found: ndarray = self.settled.sum(axis=1)
        return found

    @property
    def complete(self) -> Bool[ndarray, " C"]:
        """The cells that trained with all of their settled runs, at least one."""
        trained = self.statuses == OutcomeLabel.TRAINED
        found: ndarray = trained.any(axis=1) & (trained | ~self.settled).all(axis=1)
        return found


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


def optimum(landscape: Landscape) -> Cell | None:
    """Return the best cell, or None when no cell trained with more than half of its seeds.

    Of these cells it is the one with the largest share of seeds that trained, failed runs aside,
    and of those the one with the lowest final training loss, averaged over seeds. Of cells with
    equal losses the one with the lower rates is the best.
    """
    able = [place for place in range(len(landscape.cells)) if mostly_trained(landscape, place)]
    if not able:
        return None
    return landscape.cells[min(able, key=lambda place: _order(landscape, place))]


def _order(landscape: Landscape, place: int) -> tuple[float, float, tuple[float, ...]]:
    trained = landscape.statuses[place] == OutcomeLabel.TRAINED
    loss = mean(landscape.losses[place])
    assert loss is not None  # more than half of its seeds trained
    return -trained.sum() / landscape.tried[place], loss, tuple(landscape.cells[place].values())


def mostly_trained(landscape: Landscape, place: int) -> bool:
    """Return whether more than half of the runs of the cell at `place` trained."""
    statuses = landscape.statuses[place]
    trained = int((statuses == OutcomeLabel.TRAINED).sum())
    return 2 * trained > int((~np.isin(statuses, UNFINISHED)).sum())


def mean(values: ndarray) -> float | None:
    """Return the mean of the numbers that are not NaN; None if there are none."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if numbers.size else None


def _column(rows: Sequence[Sequence[Row]], name: str) -> ndarray:
    def read(value: SupportsFloat | None) -> float:
        return np.nan if value is None else float(value)

    values = np.array([[read(row.get(name)) for row in seeds] for seeds in rows])
    return values.reshape(len(rows), -1 if rows else 0)
