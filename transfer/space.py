"""The search space: the learning rates that a variant may take, and the neighbours of a cell."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal, Protocol

from results.landscape import Cell
from results.vocabulary import RATE_NAMES, RATES

Side = Literal["lowest", "highest"]

DIGITS = 4
"""Significant digits of computed rates. Rates determine run ids, and two machines may differ in the
last bit of a fit."""


class Rates(Protocol):
    """The values that one learning rate may take."""

    def near(self, value: float, reach: int) -> tuple[float, ...]:
        """Return `value` and its neighbours up to `reach` places away on either side, ascending.

        A predicted value need not be among the values searched, and neither need its neighbours.
        """
        ...

    def most_near(self, reach: int) -> int:
        """Return an upper bound on the number of values that `near` returns."""
        ...

    def edge(self, value: float) -> Side | None:
        """Return the side on which `value` has no neighbour.

        None if it has neighbours on both sides, is the only value, or was not searched.
        """
        ...


@dataclass(frozen=True)
class Grid:
    """A list of rates, ascending.

    Neighbours of a value off the list are apart by the geometric mean of the list's ratios.
    """

    values: tuple[float, ...]

    def near(self, value: float, reach: int) -> tuple[float, ...]:
        if value not in self.values:
            return _geometric(value, self._ratio, reach)
        place = self.values.index(value)
        return self.values[max(0, place - reach) : place + reach + 1]

    def most_near(self, reach: int) -> int:
        return min(2 * reach + 1, len(self.values))

    def edge(self, value: float) -> Side | None:
        if len(self.values) == 1 or value not in (self.values[0], self.values[-1]):
            return None
        return "lowest" if value == self.values[0] else "highest"

    @property
    def _ratio(self) -> float:
        steps = len(self.values) - 1
        return (self.values[-1] / self.values[0]) ** (1 / steps) if steps else 1.0


@dataclass(frozen=True)
class Range:
    """All rates from `low` to `high`, searched on a logarithmic scale if `log`.

    Neighbours are an octave apart, as a range has no grid.
    """

    low: float
    high: float
    log: bool = True

    def near(self, value: float, reach: int) -> tuple[float, ...]:
        if not self.low <= value <= self.high:
            return _geometric(value, 2.0, reach)
        octaves = (value * 2.0**k for k in range(-reach, reach + 1))
        return tuple(rate for rate in octaves if self.low <= rate <= self.high)

    def most_near(self, reach: int) -> int:
        return 2 * reach + 1

    def edge(self, value: float) -> Side | None:
        if not self.low <= value <= self.high:
            return None
        if value / 2 < self.low:
            return "lowest"
        return "highest" if value * 2 > self.high else None


@dataclass(frozen=True)
class Space:
    """The learning rates that a variant may take.

    Attributes:
        weight_lr: eta.
        activity_lr: beta; None for a variant that infers no activities.
    """

    weight_lr: Grid | Range
    activity_lr: Grid | Range | None

    @property
    def searched(self) -> dict[str, Grid | Range]:
        """The rates of the variant by name."""
        rates = {name: getattr(self, name) for name in RATES}
        return {name: values for name, values in rates.items() if values is not None}

    @property
    def enumerable(self) -> bool:
        """Whether all rates are lists, so that `cells` exists."""
        return all(isinstance(values, Grid) for values in self.searched.values())

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell of a space of lists.

        Raises:
            ValueError: a rate is a range.
        """
        grids = [values.values for values in self.searched.values() if isinstance(values, Grid)]
        if len(grids) < len(self.searched):
            raise ValueError("a range has no list of cells")
        return _cells(*grids)

    def near(self, cell: Cell, reach: int) -> tuple[Cell, ...]:
        """Return `cell` and all cells up to `reach` places away in each rate."""
        return _cells(
            *(values.near(getattr(cell, name), reach) for name, values in self.searched.items())
        )

    def most_near(self, reach: int) -> int:
        """Return an upper bound on the number of cells that `near` returns."""
        return math.prod(values.most_near(reach) for values in self.searched.values())

    def edges(self, cell: Cell) -> dict[str, Side]:
        """Return the rates in which `cell` lies on the edge of the space, and the sides."""
        sides = {name: rates.edge(getattr(cell, name)) for name, rates in self.searched.items()}
        return {name: side for name, side in sides.items() if side is not None}


def describe_edges(edges: Mapping[str, Side]) -> str:
    """Return what `Space.edges` returned in words: "lowest eta and highest beta searched"."""
    return " and ".join(f"{side} {RATE_NAMES[rate]}" for rate, side in edges.items()) + " searched"


def rounded(rate: float) -> float:
    """Round a computed rate to `DIGITS` significant digits."""
    return float(f"{rate:.{DIGITS}g}")


def _geometric(value: float, ratio: float, reach: int) -> tuple[float, ...]:
    others = {rounded(value * ratio**k) for k in range(-reach, reach + 1) if k}
    return tuple(sorted({value, *others}))


def _cells(
    weight_lrs: tuple[float, ...], activity_lrs: tuple[float | None, ...] = (None,)
) -> tuple[Cell, ...]:
    return tuple(Cell(eta, beta) for eta, beta in product(weight_lrs, activity_lrs))
