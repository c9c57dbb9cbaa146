"""The panels of a variant, one per shape, and the cells that they mark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from math import inf, isfinite, nan
from typing import TYPE_CHECKING

from results.figures.cells import (
    CELL_KEYS,
    at_cell,
    at_shape,
    best_cell,
    by_shape,
    cell_of,
    records,
    shapes,
    summarise,
)
from results.landscape import Cell
from results.rates import rates_in, with_rates
from results.row import Row
from results.shapes import Shape
from results.vocabulary import ZERO_SHOT, Phase

if TYPE_CHECKING:
    import pandas as pd

JUDGED = [
    *CELL_KEYS, "seed", "outcome", "final_train_loss", "min_train_loss", "test_accuracy",
    "layers_learned",
]  # fmt: skip
"""The columns of runs that rank cells."""

TUNED_HERE, SEARCHED, UNJUDGED = "tuned here", "searched for a law", "no verdict"


@dataclass(frozen=True)
class Panel:
    """One shape of one variant, as a figure draws it.

    Attributes:
        shape: the network shape.
        cells: the rows of `summarise` at this shape.
        optimum: the best cell at this shape; None if no cell trained.
        transferred: the cell that was taken to this shape and judged there; None if the tuning
            found no optimum or nothing was transferred yet.
        note: what happened at this shape: "tuned here", "searched for a law", a verdict label, or
            "no verdict".
        region: where the optimum is with a probability of 95 %, by rate, as the verdict has it: the
            lowest and the highest value, infinite or 0 at an open side.
    """

    shape: Shape
    cells: pd.DataFrame
    optimum: Cell | None
    transferred: Cell | None
    note: str
    region: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def optimal(self) -> bool:
        """Whether the region is known."""
        return bool(self.region)


def tuned_shape(runs: pd.DataFrame, verdicts: pd.DataFrame, variant: str) -> Shape | None:
    """Return the shape where `variant` was tuned, by its verdicts, else by its tuning runs."""
    judged = verdicts[verdicts["variant"].eq(variant) & verdicts["tune_width"].notna()]
    if not judged.empty:
        row = records(judged)[0]
        return Shape(int(row["tune_width"]), int(row["tune_depth"]))
    tuned = runs[runs["variant"].eq(variant) & runs["phase"].eq(Phase.TUNE)]
    if tuned.empty:
        return None
    return Shape(int(tuned["width"].mode().iloc[0]), int(tuned["depth"].mode().iloc[0]))


def leading(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts of the one rule whose cells the figures mark.

    That is zero-shot transfer, or else the first rule of the spec.
    """
    rules = list(verdicts["rule"].unique())
    first = ZERO_SHOT if ZERO_SHOT in rules or not rules else rules[0]
    return verdicts[verdicts["rule"].eq(first)]


def transferred(
    runs: pd.DataFrame,
    verdicts: pd.DataFrame,
    variant: str,
    shape: Shape | None = None,
    optimum: Callable[[], Cell | None] | None = None,
) -> Cell | None:
    """Return the cell that `variant` takes to `shape`, by its verdicts, else its tuned optimum.

    By any rule but zero-shot transfer the cell depends on the shape; None is the tuned one.

    Args:
        runs: all runs.
        verdicts: all verdicts.
        variant: the variant.
        shape: the target.
        optimum: returns the tuned optimum; None finds it.
    """
    import numpy as np

    there = [cell_of(row) is not None for row in records(verdicts)]
    judged = leading(verdicts[verdicts["variant"].eq(variant) & np.array(there, bool)])
    if not judged["rule"].eq(ZERO_SHOT).all():
        judged = judged.iloc[:0] if shape is None else at_shape(judged, shape)
    if not judged.empty:
        return cell_of(records(judged)[0])
    return tuned_optimum(runs, verdicts, variant) if optimum is None else optimum()


def tuned_optimum(runs: pd.DataFrame, verdicts: pd.DataFrame, variant: str) -> Cell | None:
    """Return the best cell of the shape where `variant` was tuned."""
    tuned = tuned_shape(runs, verdicts, variant)
    if tuned is None:
        return None
    columns = [name for name in JUDGED if name in runs]  # the others take most of the time
    mine = runs.loc[runs["variant"].eq(variant), columns]
    return best_cell(at_shape(mine, tuned))


def at_transferred(runs: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of every variant at its transferred cell, at every shape where it ran."""
    import pandas as pd

    kept = pd.Series(False, index=runs.index)
    optimum = cache(partial(tuned_optimum, runs, verdicts))
    for variant, shape, some in by_shape(runs):
        cell = transferred(runs, verdicts, variant, shape, partial(optimum, variant))
        if cell is not None:
            kept[some.index] = at_cell(some, cell)
    return runs[kept]


def panels(runs: pd.DataFrame, verdicts: pd.DataFrame, variant: str) -> list[Panel]:
    """Return the panels of `variant`, one per shape, by width and then depth."""
    mine = runs[runs["variant"].eq(variant)]
    judged = leading(verdicts[verdicts["variant"].eq(variant)])
    tuned = tuned_shape(runs, verdicts, variant)
    there = shapes(mine)
    only_tuned = judged.empty and there == [tuned]
    searched = shapes(mine[mine["phase"].eq(Phase.TUNE)])
    optimum = cache(partial(tuned_optimum, runs, verdicts, variant))
    found = []
    for shape in there:
        moved = None if only_tuned else transferred(runs, verdicts, variant, shape, optimum)
        note = TUNED_HERE if shape == tuned else SEARCHED if shape in searched else ""
        here = at_shape(judged, shape)
        region = {}
        if shape == tuned and not judged.empty:
            region = _region(records(judged)[0], "tune_optimum_")
        found.append(_panel(at_shape(mine, shape), here, shape, note, moved, region))
    return found


def _panel(
    runs: pd.DataFrame,
    judged: pd.DataFrame,
    shape: Shape,
    note: str,
    moved: Cell | None,
    region: dict[str, tuple[float, float]],
) -> Panel:
    best = best_cell(runs)
    if not judged.empty:
        row = records(judged)[0]
        best = cell_of(row, "best_") or best  # the runs that the verdict compared decide
        note = ", ".join(part for part in (note, row["verdict"]) if part)
        region = _region(row, "optimum_")
    elif note == TUNED_HERE:
        best = moved or best
    return Panel(shape, summarise(runs), best, moved, note or UNJUDGED, region)


def _region(verdict: Row, prefix: str) -> dict[str, tuple[float, float]]:
    """Return the region of an optimum by rate; a side without a bound is open."""
    found, row = {}, with_rates(verdict)
    for rate in rates_in([verdict]):
        value, low, high = (row.get(f"{prefix}{rate}{end}") for end in ("", "_low", "_high"))
        if isfinite(_number(value)) and (isfinite(_number(low)) or isfinite(_number(high))):
            low, high = _number(low), _number(high)
            found[rate] = (low if isfinite(low) else 0.0, high if isfinite(high) else inf)
    return found


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else nan
