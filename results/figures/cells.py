"""Cells: what the runs at one (shape, eta, beta) say together, and which cells a figure marks.

A cell is one pair of learning rates at one network shape; its runs differ in the seed only. Runs
that diverged, stayed at chance or failed are counted by kind and never enter a mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from results.figures.style import rank

if TYPE_CHECKING:
    import pandas as pd

ZERO_SHOT = "zero_shot"
TUNED_HERE, SEARCHED, UNJUDGED = "tuned here", "searched for a law", "no verdict"
OUTCOMES = ("trained", "at_chance", "diverged", "failed")
CELL_KEYS = ["variant", "width", "depth", "weight_lr", "activity_lr"]


class Shape(NamedTuple):
    """A network shape: hidden layers of `width` units, `depth` of them."""

    width: int
    depth: int


class Rates(NamedTuple):
    """A pair of learning rates; `activity_lr` is NaN where the rule has none (backpropagation)."""

    weight_lr: float
    activity_lr: float


@dataclass(frozen=True)
class Panel:
    """One shape of one variant, as a landscape draws it.

    Attributes:
        shape: the network shape.
        cells: the rows of `summarise` at this shape.
        optimum: rates of the best cell found at this shape, None if no cell trained.
        transferred: rates of the tuned optimum, which the target shapes are judged at; None if the
            tuning found none or nothing was transferred yet.
        note: what happened at this shape: "tuned here", "searched for a law", a verdict's word, or
            "no verdict".
    """

    shape: Shape
    cells: pd.DataFrame
    optimum: Rates | None
    transferred: Rates | None
    note: str


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, sorted by its keys.

    Columns: `CELL_KEYS`; one count per outcome; `loss`, the final training loss averaged over the
    seeds that trained (NaN if none did); `outcome`, the worst among the seeds: a cell where one
    seed diverged is diverged. A failed run says nothing about its cell, so "failed" means that no
    run finished.
    """
    import numpy as np

    frame = runs[CELL_KEYS].copy()
    for outcome in OUTCOMES:
        frame[outcome] = runs["outcome"].eq(outcome).astype(int)
    frame["loss"] = runs["final_train_loss"].where(runs["outcome"].eq("trained"))
    grouped = frame.groupby(CELL_KEYS, dropna=False, as_index=False)
    cells = grouped.agg({**dict.fromkeys(OUTCOMES, "sum"), "loss": "mean"})
    worst_first = ["diverged", "at_chance", "trained"]
    cells["outcome"] = np.select([cells[o] > 0 for o in worst_first], worst_first, default="failed")
    return cells


def best_cell(cells: pd.DataFrame) -> dict[str, Any] | None:
    """The row of `cells` (of one variant and shape) that ranks first, by the verdicts' rule.

    More trained seeds come first, then a lower loss. A cell counts if most of its seeds trained and
    none of its runs failed, which would be no evidence either way. None if there is no such cell.
    """
    finished = cells["trained"] + cells["at_chance"] + cells["diverged"]
    eligible = cells[cells["failed"].eq(0) & (2 * cells["trained"]).gt(finished)]
    ranked = eligible.sort_values(["trained", "loss"], ascending=[False, True])
    return next(iter(records(ranked)), None)


def optimum(cells: pd.DataFrame) -> Rates | None:
    """The rates of `best_cell`."""
    best = best_cell(cells)
    return None if best is None else Rates(best["weight_lr"], best["activity_lr"])


def at(frame: pd.DataFrame, rates: Rates) -> pd.Series:
    """Mask of the rows of `frame` (runs or cells) at `rates`, whatever their shape."""
    import numpy as np

    weight = np.isclose(frame["weight_lr"], rates.weight_lr, rtol=1e-9, atol=0.0)
    activity = np.isclose(
        frame["activity_lr"], rates.activity_lr, rtol=1e-9, atol=0.0, equal_nan=True
    )
    return frame["weight_lr"].notna() & weight & activity


def tuned_shape(runs: pd.DataFrame, verdicts: pd.DataFrame, variant: str) -> Shape | None:
    """The shape where `variant` was tuned, by its verdicts, else by its tuning runs."""
    judged = verdicts[verdicts["variant"].eq(variant) & verdicts["tune_width"].notna()]
    if not judged.empty:
        row = records(judged)[0]
        return Shape(int(row["tune_width"]), int(row["tune_depth"]))
    tuned = runs[runs["variant"].eq(variant) & runs["phase"].eq("tune")]
    if tuned.empty:
        return None
    return Shape(int(tuned["width"].mode().iloc[0]), int(tuned["depth"].mode().iloc[0]))


def leading(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The verdicts of one rule, whose cells the figures mark: zero-shot transfer, or else the first
    that was asked for."""
    rules = list(verdicts["rule"].unique())
    first = ZERO_SHOT if ZERO_SHOT in rules or not rules else rules[0]
    return verdicts[verdicts["rule"].eq(first)]


def transferred(
    runs: pd.DataFrame, verdicts: pd.DataFrame, variant: str, shape: Shape | None = None
) -> Rates | None:
    """The rates `variant` takes to `shape`, by its verdicts, else the best it was tuned to.

    By any rule but zero-shot transfer they depend on the shape; None is the tuned one.
    """
    judged = leading(verdicts[verdicts["variant"].eq(variant) & verdicts["weight_lr"].notna()])
    if not judged["rule"].eq(ZERO_SHOT).all():
        judged = judged.iloc[:0] if shape is None else _at_shape(judged, shape)
    if not judged.empty:
        row = records(judged)[0]
        return Rates(row["weight_lr"], row["activity_lr"])
    tuned = tuned_shape(runs, verdicts, variant)
    if tuned is None:
        return None
    return optimum(summarise(_at_shape(runs[runs["variant"].eq(variant)], tuned)))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `frame` as dictionaries by column name."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def by_shape(runs: pd.DataFrame) -> list[tuple[str, Shape, pd.DataFrame]]:
    """The runs of every variant at every shape, the known variants first, then by shape."""
    groups: list[tuple[str, Shape, pd.DataFrame]] = []
    for key, some in runs.groupby(["variant", "width", "depth"]):
        variant, width, depth = cast(tuple[str, float, float], key)
        groups.append((variant, Shape(int(width), int(depth)), some))
    return sorted(groups, key=lambda group: (rank(group[0]), group[1]))


def shapes(frame: pd.DataFrame) -> list[Shape]:
    """The distinct shapes in `frame`, by width and then depth."""
    return sorted(
        {Shape(int(w), int(d)) for w, d in zip(frame["width"], frame["depth"], strict=True)}
    )


def at_transferred(runs: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """The runs of every variant at its transferred cell, at every shape where that cell ran."""
    import pandas as pd

    kept = pd.Series(False, index=runs.index)
    for variant, shape, some in by_shape(runs):
        rates = transferred(runs, verdicts, variant, shape)
        if rates is not None:
            kept[some.index] = at(some, rates)
    return runs[kept]


def panels(runs: pd.DataFrame, verdicts: pd.DataFrame, variant: str) -> list[Panel]:
    """The landscape of `variant`, one panel per shape, by width and then depth."""
    cells = summarise(runs[runs["variant"].eq(variant)])
    judged = leading(verdicts[verdicts["variant"].eq(variant)])
    tuned = tuned_shape(runs, verdicts, variant)
    there = shapes(cells)
    only_tuned = judged.empty and there == [tuned]
    searched = shapes(runs[runs["variant"].eq(variant) & runs["phase"].eq("tune")])
    found = []
    for shape in there:
        moved = None if only_tuned else transferred(runs, verdicts, variant, shape)
        here = _at_shape(judged, shape)
        note = TUNED_HERE if shape == tuned else SEARCHED if shape in searched else ""
        found.append(_panel(_at_shape(cells, shape), here, shape, note, moved))
    return found


def _panel(
    cells: pd.DataFrame,
    judged: pd.DataFrame,
    shape: Shape,
    note: str,
    moved: Rates | None,
) -> Panel:
    best = optimum(cells)
    if not judged.empty:
        row = records(judged)[0]
        if isfinite(row["best_weight_lr"]):  # the verdict's own optimum goes first
            best = Rates(row["best_weight_lr"], row["best_activity_lr"])
        note = ", ".join(part for part in (note, row["verdict"]) if part)
    elif note == TUNED_HERE:
        best = moved or best
    return Panel(shape, cells, best, moved, note or UNJUDGED)


def _at_shape(frame: pd.DataFrame, shape: Shape) -> pd.DataFrame:
    return frame[frame["width"].eq(shape.width) & frame["depth"].eq(shape.depth)]


def lowest(runs: pd.DataFrame) -> pd.DataFrame:
    """The mean loss of the best cell per variant and shape: variant, width, depth, loss."""
    import pandas as pd

    found = [best_cell(summarise(some)) for _, _, some in by_shape(runs)]
    return pd.DataFrame(
        [best for best in found if best is not None], columns=["variant", "width", "depth", "loss"]
    )
