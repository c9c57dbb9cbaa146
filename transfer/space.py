"""The search space: the rates that an arm may take, and the neighbours of a cell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, Protocol

from results.landscape import Cell
from results.vocabulary import RATES, rate_name

Side = Literal["lowest", "highest"]

SIDES: tuple[Side, Side] = ("lowest", "highest")
SMALLEST, LARGEST = 1e-30, 1e30
"""Bounds of rates, which must be numbers in single precision, with room to spare."""

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

    def further(self, side: Side, count: int) -> tuple[float, ...]:
        """Return up to `count` values that follow the outermost one on a side, nearest first.

        They continue the list; beyond a range they are octaves apart. A list of one value has none.
        """
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

    Attributes:
        values: the values.
        whole: whether the rate is a whole number, such as a batch size.
    """

    values: tuple[float, ...]
    whole: bool = False

    def near(self, value: float, reach: int) -> tuple[float, ...]:
        if value not in self.values:
            return _geometric(value, self._ratio, reach, self.whole)
        place = self.values.index(value)
        return self.values[max(0, place - reach) : place + reach + 1]

    def most_near(self, reach: int) -> int:
        return min(2 * reach + 1, len(self.values))

    def further(self, side: Side, count: int) -> tuple[float, ...]:
        if len(self.values) == 1:
            return ()
        # Each value is from the last what the one two before it was: 1, 3, 10, 30 and not 31.
        found = list(self.values if side == "highest" else reversed(self.values))
        for _ in range(count):
            ratio = found[-2] / found[-3] if len(found) > 2 else found[-1] / found[-2]
            value = rounded(found[-1] * ratio)
            if self.whole:
                value = float(max(1, round(value)))
            if value in found or not SMALLEST <= value <= LARGEST:
                break
            found.append(value)
        return tuple(found[len(self.values) :])

    def with_further(self, side: Side, count: int) -> "Grid":
        """Return the list with up to `count` values more on a side."""
        return Grid(tuple(sorted((*self.values, *self.further(side, count)))), self.whole)

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

    Attributes:
        low: the smallest.
        high: the largest.
        log: whether they are searched on a logarithmic scale.
        whole: whether the rate is a whole number, such as a batch size.
    """

    low: float
    high: float
    log: bool = True
    whole: bool = False

    def near(self, value: float, reach: int) -> tuple[float, ...]:
        if not self.low <= value <= self.high:
            return _geometric(value, 2.0, reach, self.whole)
        octaves = (value * 2.0**k for k in range(-reach, reach + 1))
        if self.whole:
            octaves = (float(max(1, round(rate))) for rate in octaves)
        return tuple(dict.fromkeys(rate for rate in octaves if self.low <= rate <= self.high))

    def most_near(self, reach: int) -> int:
        return 2 * reach + 1

    def further(self, side: Side, count: int) -> tuple[float, ...]:
        end, factor = (self.low, 0.5) if side == "lowest" else (self.high, 2.0)
        values = [end * factor**k for k in range(1, count + 1)]
        if self.whole:
            values = [float(max(1, round(value))) for value in values]
        return tuple(v for v in dict.fromkeys(values) if v != end and SMALLEST <= v <= LARGEST)

    def edge(self, value: float) -> Side | None:
        if not self.low <= value <= self.high:
            return None
        if value / 2 < self.low:
            return "lowest"
        return "highest" if value * 2 > self.high else None


Values = Grid | Range
"""The values of one rate."""


class Space:
    """The rates that an arm may take: a list or a range of values by the name of each rate.

        Space(Grid((0.01, 0.1)), Range(1, 100))               # eta and beta
        Space(learning_rate=Range(1e-4, 1), momentum=Grid((0.9, 0.99)))

    Spaces are immutable, and equal if they have the same rates with the same values.

    Args:
        weight_lr: eta.
        activity_lr: beta; None for a variant that infers no activities.
        **searched: any rates, in the order of cells.
    """

    def __init__(
        self,
        weight_lr: Values | None = None,
        activity_lr: Values | None = None,
        /,
        **searched: Values,
    ) -> None:
        named = dict(zip(RATES, (weight_lr, activity_lr), strict=True))
        self.searched: Mapping[str, Values] = {
            name: values for name, values in named.items() if values is not None
        } | searched

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.searched == other.searched

    def __hash__(self) -> int:
        return hash(tuple(self.searched.items()))

    def __repr__(self) -> str:
        return f"Space({', '.join(f'{n}={values}' for n, values in self.searched.items())})"

    @property
    def weight_lr(self) -> Values:
        """The values of eta; raises `KeyError` where there is none."""
        return self.searched["weight_lr"]

    @property
    def activity_lr(self) -> Values | None:
        """The values of beta; None for a variant that infers no activities."""
        return self.searched.get("activity_lr")

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
        return self._cells(grids)

    def near(self, cell: Cell, reach: int) -> tuple[Cell, ...]:
        """Return `cell` and all cells up to `reach` places away in each rate."""
        return self._cells(
            [values.near(cell[name], reach) for name, values in self.searched.items()]
        )

    def beyond(self, cell: Cell, reach: int, rate: str, side: Side) -> tuple[Cell, ...]:
        """Return the cells up to `reach` places from `cell` that lie outside of the space.

        Those beyond one side of one rate, inside in the others. A cell outside of the space, such
        as one that a law predicts, has all of its neighbours, so that there are none.
        """
        values = {name: values.near(cell[name], reach) for name, values in self.searched.items()}
        own = self.searched[rate]
        if isinstance(own, Grid):
            inside = cell[rate] in own.values
            place = own.values.index(cell[rate]) if inside else 0
            room = place if side == "lowest" else len(own.values) - 1 - place
        else:
            inside = own.low <= cell[rate] <= own.high
            away = cell[rate] / own.low if side == "lowest" else own.high / cell[rate]
            room = int(math.log2(away) + 1e-9) if inside else 0
        values[rate] = own.further(side, reach - room) if inside and reach > room else ()
        return self._cells(list(values.values()))

    def extended(self, sides: Mapping[str, Side]) -> "Space":
        """Return this space of lists with one value more on each of these sides."""
        longer = {
            name: values.with_further(sides[name], 1)
            if name in sides and isinstance(values, Grid)
            else values
            for name, values in self.searched.items()
        }
        return Space(**longer)

    def most_whole(self, reach: int) -> int:
        """Return an upper bound on the cells that `beyond` returns for all rates and sides.

        A neighbourhood has at most 2 reach + 1 places in each rate, whatever is inside of it.
        """
        lists = (v for v in self.searched.values() if isinstance(v, Grid))
        fixed = sum(len(values.values) == 1 for values in lists)
        return int((2 * reach + 1) ** (len(self.searched) - fixed)) - 1

    def most_near(self, reach: int) -> int:
        """Return an upper bound on the number of cells that `near` returns."""
        return math.prod(values.most_near(reach) for values in self.searched.values())

    def edges(self, cell: Cell) -> dict[str, Side]:
        """Return the rates in which `cell` lies on the edge of the space, and the sides."""
        sides = {name: values.edge(cell[name]) for name, values in self.searched.items()}
        return {name: side for name, side in sides.items() if side is not None}

    def admitted(self, cell: Cell) -> Cell:
        """Return the cell that a predicted one stands for: whole where only whole numbers are."""
        whole = {n: max(1.0, round(cell[n])) for n, v in self.searched.items() if v.whole}
        return cell.but(whole) if whole else cell

    def _cells(self, values: Sequence[Sequence[float]]) -> tuple[Cell, ...]:
        names = tuple(self.searched)
        return tuple(Cell(**dict(zip(names, each, strict=True))) for each in product(*values))


def describe_edges(edges: Mapping[str, Side]) -> str:
    """Return what `Space.edges` returned in words: "lowest eta and highest beta searched"."""
    return " and ".join(f"{side} {rate_name(rate)}" for rate, side in edges.items()) + " searched"


def rounded(rate: float) -> float:
    """Round a computed rate to `DIGITS` significant digits."""
    return float(f"{rate:.{DIGITS}g}")


def _geometric(value: float, ratio: float, reach: int, whole: bool) -> tuple[float, ...]:
    others = {rounded(value * ratio**k) for k in range(-reach, reach + 1) if k}
    if whole:
        others = {float(max(1, round(other))) for other in others}
    return tuple(sorted({value, *others}))
