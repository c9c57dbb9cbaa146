"""Losses during training beside those at its end: when the search may stop cells early."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from results.landscape import UNFINISHED, Cell
from results.rates import COLUMN
from results.schema.tables import TABLES
from results.shapes import Shape
from results.vocabulary import RATES, OutcomeLabel

REGRET = 0.05
"""Relative excess of the loss over the best up to which a cell is as good as the best."""
FEWEST_CELLS = 3
"""Fewer cells have no rank correlation that would say anything."""

_RUNS = TABLES["runs"]
_OF_CELLS = (*RATES, COLUMN, "seed")
SETTINGS = tuple(name for name in _RUNS.fixed if name not in (*_RUNS.key, *_OF_CELLS))
"""Columns of `runs` that all runs of a landscape share."""
COLUMNS = (*SETTINGS, *_OF_CELLS, "run_id", "outcome", "final_train_loss")
"""Columns of `runs` that `early_losses` reads."""


@dataclass(frozen=True)
class Horizon:
    """What the losses after some of the weight updates tell about the final ones.

    Attributes:
        updates: weight updates done.
        share: the same as a share of the whole training.
        correlation: Spearman's correlation, over the cells that trained, of the loss of one seed
            then with the final loss of the cell; the mean over seeds. None where it is not defined.
        keep: the share of cells, the lowest losses then, that must continue for none of the good
            ones to be stopped; that of the seed that needs most. None where no cell trained.
    """

    updates: int
    share: float
    correlation: float | None
    keep: float | None


@dataclass(frozen=True)
class EarlyLosses:
    """The losses of C cells with S seeds at one shape, at T evaluations and at the end.

    Attributes:
        settings: the columns of `runs` that all runs share.
        cells: the cells with a run that was trained to its end.
        updates: weight updates at the evaluations, increasing (T,).
        early: mean training loss since the evaluation before (C, S, T); infinite once a run has
            diverged, NaN where there is no finished run.
        losses: final training loss (C, S); infinite where the run did not train, NaN where there
            is no finished run.
        pruned: number of cells that the search stopped early, which are left out.
    """

    settings: Mapping[str, object]
    cells: tuple[Cell, ...]
    updates: Int[ndarray, " T"]
    early: Float[ndarray, "C S T"]
    losses: Float[ndarray, "C S"]
    pruned: int = 0

    @cached_property
    def final(self) -> Float[ndarray, " C"]:
        """The final loss of each cell, the mean over its seeds; infinite if one did not train."""
        found: ndarray = np.nanmean(self.losses, axis=1)
        return found

    @property
    def variant(self) -> str:
        """The variant."""
        return str(self.settings["variant"])

    @property
    def shape(self) -> Shape:
        """The shape."""
        width, depth = (cast(int, self.settings[name]) for name in ("width", "depth"))
        return Shape(int(width), int(depth))

    @property
    def seeds(self) -> int:
        """S, the number of seeds; some cells may have fewer."""
        return self.losses.shape[1]

    def good(self, regret: float = REGRET) -> Bool[ndarray, " C"]:
        """Return which cells end within `regret` of the best."""
        lowest = self.final.min(initial=np.inf)
        found: ndarray = np.isfinite(self.final) & (self.final <= (1 + regret) * lowest)
        return found

    def horizons(self, regret: float = REGRET) -> list[Horizon]:
        """Return what the losses at every evaluation tell about the final ones.

        Args:
            regret: up to which a cell is good.
        """
        good = self.good(regret)
        updates = self.updates.tolist()
        return [
            Horizon(u, u / updates[-1], self._correlation(t), self._keep(t, good))
            for t, u in enumerate(updates)
        ]

    def _correlation(self, t: int) -> float | None:
        found = [spearman(self.early[:, seed, t], self.final) for seed in range(self.seeds)]
        known = [each for each in found if each is not None]
        return float(np.mean(known)) if known else None

    def _keep(self, t: int, good: Bool[ndarray, " C"]) -> float | None:
        shares = []
        for losses in self.early[:, :, t].T:
            ran, needed = losses[~np.isnan(losses)], losses[good & ~np.isnan(losses)]
            if needed.size:
                shares.append(float((ran <= needed.max()).mean()))
        return max(shares, default=None)


def spearman(one: Float[ndarray, " C"], other: Float[ndarray, " C"]) -> float | None:
    """Return Spearman's rank correlation over the pairs of finite numbers; equal ones share ranks.

    None for fewer than `FEWEST_CELLS` pairs, or where all numbers of a side are equal.
    """
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < FEWEST_CELLS:
        return None
    first, second = (pd.Series(values[both]).rank().to_numpy() for values in (one, other))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def early_losses(runs: pd.DataFrame, curves: pd.DataFrame) -> list[EarlyLosses]:
    """Return the early losses of every landscape of networks, by variant and shape.

    Runs of one landscape differ in rates and seed alone. Landscapes of fewer than `FEWEST_CELLS`
    finished cells are left out, and so are training functions, which cannot be stopped early.

    Args:
        runs: rows of `runs` with `COLUMNS`; those without a curve do not count.
        curves: rows of `curves`.
    """
    by_run = {
        str(run_id): dict(zip(some["step"], some["train_loss"], strict=True))
        for run_id, some in curves.groupby("run_id")
    }
    runs = runs[runs["weight_lr"].notna() & runs[COLUMN].isna() & runs["run_id"].isin(by_run)]
    groups = runs.groupby(list(SETTINGS), dropna=False, sort=False)
    found = [_of_landscape(some, by_run) for _, some in groups]
    wanted = [each for each in found if len(each.cells) >= FEWEST_CELLS]
    return sorted(wanted, key=lambda each: (each.variant, each.shape, str(each.settings)))


def _of_landscape(runs: pd.DataFrame, curves: Mapping[str, Mapping[int, float]]) -> EarlyLosses:
    ended = runs[~runs["outcome"].isin([*UNFINISHED, OutcomeLabel.FAILED])]
    updates = sorted({u for run_id in ended["run_id"] for u in curves[run_id] if u > 0})
    seeds = sorted(ended["seed"].unique())
    groups = ended.groupby([*RATES], dropna=False)
    early = np.full((len(groups), len(seeds), len(updates)), np.nan)
    final = np.full(early.shape[:2], np.nan)
    cells = []
    for c, (rates, some) in enumerate(groups):
        eta, beta = cast(tuple[float, float], rates)
        cells.append(Cell(eta, None if np.isnan(beta) else beta))
        columns = (some[name] for name in ("run_id", "seed", "outcome", "final_train_loss"))
        for run_id, seed, outcome, loss in zip(*columns, strict=True):
            s, known = seeds.index(seed), [curves[run_id].get(u, np.inf) for u in updates]
            early[c, s] = np.where(np.isfinite(known), known, np.inf)
            trained = outcome == OutcomeLabel.TRAINED and np.isfinite(loss)
            final[c, s] = loss if trained else np.inf
    pruned = runs[runs["outcome"].eq(OutcomeLabel.PRUNED)]
    either = pd.concat([pruned, ended]).groupby([*RATES], dropna=False).ngroups
    settings = {name: runs[name].iloc[0] for name in SETTINGS}
    return EarlyLosses(
        settings, tuple(cells), np.array(updates, int), early, final, either - len(cells)
    )
