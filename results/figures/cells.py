"""Shapes and cells of runs: their summary, their landscape and their best cell.

A cell is one choice of rates at one network shape; its runs differ in the seed only. Runs
that diverged, stayed at chance or failed are counted by outcome and never enter a mean.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, cast

from results.figures.style import rank
from results.landscape import NOT_RUN, Cell, Landscape, mean, optimum, settled
from results.rates import COLUMN, cell_in, names_in, rates_of
from results.row import Row
from results.shapes import Shape
from results.vocabulary import RATES, OutcomeLabel

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CELL_KEYS = ["variant", "width", "depth", *RATES, COLUMN]
"""What identifies a cell: `rates` where the rates are those of a training function."""


def records(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of `frame` as dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def cell_of(row: Row, prefix: str = "") -> Cell | None:
    """Return the cell in the columns `weight_lr` and `activity_lr` of a row; None if it is null.

    Args:
        row: numbers by column, NaN where there is none. The column `rates` has those of a training
            function.
        prefix: of the columns, such as "best_".
    """
    if own := cell_in(row, prefix):
        return None if None in own.values() else Cell(**own)
    eta, beta = (row[f"{prefix}{rate}"] for rate in RATES)
    return Cell(eta, beta if isfinite(beta) else None) if isfinite(eta) else None


def column_of(rate: str) -> str:
    """Return the column of a rate in frames with `rate_columns`."""
    return rate if rate in RATES else f"rate {rate}"


def rate_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with a column for each rate of training functions, apart from all others."""
    import pandas as pd

    columns = {}
    for rate in names_in(frame):
        values = [rates_of({COLUMN: text}).get(rate) for text in frame[COLUMN]]
        columns[column_of(rate)] = pd.Series(values, frame.index, dtype="float64")
    return frame.assign(**columns) if columns else frame


def rates_of_runs(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the names of the rates of runs or cells: those of a training function, or ours."""
    return names_in(frame) or RATES


def shapes(frame: pd.DataFrame) -> list[Shape]:
    """Return the distinct shapes in `frame`, by width and then depth."""
    return sorted(
        {Shape(int(w), int(d)) for w, d in zip(frame["width"], frame["depth"], strict=True)}
    )


def at_shape(frame: pd.DataFrame, shape: Shape) -> pd.DataFrame:
    """Return the rows of `frame` at `shape`."""
    return frame[frame["width"].eq(shape.width) & frame["depth"].eq(shape.depth)]


def by_shape(runs: pd.DataFrame) -> list[tuple[str, Shape, pd.DataFrame]]:
    """Return the runs of every variant at every shape, known variants first, then by shape."""
    groups: list[tuple[str, Shape, pd.DataFrame]] = []
    for key, some in runs.groupby(["variant", "width", "depth"]):
        variant, width, depth = cast(tuple[str, float, float], key)
        groups.append((variant, Shape(int(width), int(depth)), some))
    return sorted(groups, key=lambda group: (rank(group[0]), group[1]))


def at_cell(frame: pd.DataFrame, cell: Cell) -> pd.Series[bool]:
    """Return the mask of the rows of `frame` (runs or cells) at `cell`, whatever their shape."""
    import numpy as np

    if set(cell) - {*RATES}:
        near = np.ones(len(frame), bool)
        for rate, value in cell.items():
            values = frame.get(column_of(rate), np.full(len(frame), np.nan))
            near &= np.isclose(values, value, rtol=1e-9, atol=0.0)
        return frame["width"].notna() & near
    beta = np.nan if cell.activity_lr is None else cell.activity_lr
    weight = np.isclose(frame["weight_lr"], cell.weight_lr, rtol=1e-9, atol=0.0)
    activity = np.isclose(frame["activity_lr"], beta, rtol=1e-9, atol=0.0, equal_nan=True)
    return frame["weight_lr"].notna() & weight & activity


def settle(runs: pd.DataFrame) -> pd.DataFrame:
    """Return `runs` with the outcomes and the losses of verdicts (`results.landscape.settled`)."""
    outcomes = runs["outcome"].to_numpy(object)
    outcomes, losses = settled(outcomes, runs["final_train_loss"].to_numpy(float))
    return runs.assign(outcome=outcomes, final_train_loss=losses)


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cell, sorted by its keys.

    Columns: `CELL_KEYS`; one count per outcome; `loss`, the final training loss averaged over the
    seeds that trained (NaN if none did); `outcome`, the worst among the seeds: a cell where one
    seed diverged is diverged. Failed runs do not count: "failed" means that no run finished, and
    "pruned" that the search stopped those that there are; `stopped_after`, the most weight updates
    of those (NaN if none was stopped).
    """
    import numpy as np

    keys = [key for key in CELL_KEYS if key in runs]
    frame = runs[keys].copy()
    for outcome in OutcomeLabel:
        frame[outcome] = runs["outcome"].eq(outcome).astype(int)
    frame["loss"] = runs["final_train_loss"].where(runs["outcome"].eq(OutcomeLabel.TRAINED))
    done = runs.get("steps_done", np.nan)
    frame["stopped_after"] = np.where(frame[OutcomeLabel.PRUNED].eq(1), done, np.nan)
    grouped = frame.groupby(keys, dropna=False, as_index=False)
    counts = {str(outcome): "sum" for outcome in OutcomeLabel}
    cells = grouped.agg({**counts, "loss": "mean", "stopped_after": "max"})
    worst_first = [OutcomeLabel.DIVERGED, OutcomeLabel.AT_CHANCE, OutcomeLabel.TRAINED]
    worst_first.append(OutcomeLabel.PRUNED)  # of cells without any run that ended by itself
    found = [cells[outcome] > 0 for outcome in worst_first]
    cells["outcome"] = np.select(found, list(map(str, worst_first)), default="failed")
    cells = rate_columns(cells)
    return cells.sort_values([*keys[:3], *RATES, *map(column_of, names_in(cells))], kind="stable")


def landscape(runs: pd.DataFrame) -> Landscape:
    """Return the landscape of the runs of one variant at one shape, one run per cell and seed.

    In an unfinished experiment a cell may lack seeds that others have: those are `NOT_RUN`.
    """
    import numpy as np
    import pandas as pd

    by = [*RATES, *([COLUMN] if COLUMN in runs else [])]
    groups = runs.groupby(by, dropna=False)
    keys = cast("list[tuple[object, ...]]", list(groups.size().index))
    found_cells = [cell_of(dict(zip(by, key, strict=True))) for key in keys]
    cells = tuple(cell for cell in found_cells if cell is not None)
    seeds, found = pd.factorize(runs["seed"], use_na_sentinel=False)
    places = groups.ngroup().to_numpy(), seeds

    def spread(column: str) -> np.ndarray:
        values = np.full((len(cells), len(found)), np.nan)
        values[places] = runs[column].to_numpy(float)
        return values

    statuses = np.full((len(cells), len(found)), NOT_RUN, object)
    statuses[places] = runs["outcome"].to_numpy(object)
    losses, minima, accuracies, learned = map(
        spread, ("final_train_loss", "min_train_loss", "test_accuracy", "layers_learned")
    )
    return Landscape(cells, *settled(statuses, losses), minima, accuracies, learned)


def best_cell(runs: pd.DataFrame) -> Cell | None:
    """Return the best cell of one variant at one shape, ranked as verdicts rank it."""
    return optimum(landscape(runs))


def lowest(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean loss of the best cell by variant and shape: variant, width, depth, loss."""
    import pandas as pd

    found = []
    for variant, shape, some in by_shape(runs):
        here = landscape(some)
        best = optimum(here)
        if best is not None:
            found.append((variant, shape.width, shape.depth, mean(here.losses[here.place(best)])))
    return pd.DataFrame(found, columns=["variant", "width", "depth", "loss"])
